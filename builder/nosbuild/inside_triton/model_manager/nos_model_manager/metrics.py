"""What the manager keeps of each model goes in; Triton's own /metrics shows it, beside the rest.

``nosbuild_model_loads_total``, ``nosbuild_model_evictions_total`` and
``nosbuild_model_memory_bytes`` (label ``model``), ``nosbuild_memory_budget_bytes`` and
``nosbuild_memory_used_bytes``.
"""


class Metrics:
    """The metrics of one manager.

    Args:
        family: ``pb_utils.MetricFamily``.
        warn: told, in words, what goes wrong.
    """

    def __init__(self, family, warn):
        self._warn = warn

        def gauge(name, description):
            return family(name=name, description=description, kind=family.GAUGE)

        def counter(name, description):
            return family(name=name, description=description, kind=family.COUNTER)

        self._loads = counter("nosbuild_model_loads_total", "Loads by the model manager")
        self._evictions = counter(
            "nosbuild_model_evictions_total", "Unloads that made room for another model"
        )
        self._bytes = gauge("nosbuild_model_memory_bytes", "Bytes of the budget that it takes")
        self._budget_family = gauge("nosbuild_memory_budget_bytes", "Bytes for all models together")
        self._used_family = gauge(
            "nosbuild_memory_used_bytes", "Bytes of the budget that are taken"
        )
        self._budget = self._budget_family.Metric(labels={})
        self._used = self._used_family.Metric(labels={})
        self._of_models = {}
        self._counted = {}

    def watched(self, manager):
        """The manager, each of whose changes is shown from now on."""
        keep = manager.keep

        def keep_and_show():
            data = keep()
            try:
                self._show(data, manager.charges())
            except Exception as error:  # noqa: BLE001 - models are loaded without metrics, too
                manager.keep = keep
                self._warn(f"model_manager: no metrics from now on: {error}")
            return data

        manager.keep = keep_and_show
        manager.is_changed = True  # the budget is shown before anything is loaded
        return manager

    def _show(self, kept, charges):
        self._budget.set(kept["budget"])
        self._used.set(sum(charges.values()))
        for name, facts in kept["models"].items():
            if name not in self._of_models:
                families = self._loads, self._evictions, self._bytes
                self._of_models[name] = [one.Metric(labels={"model": name}) for one in families]
            loads, evictions, size = self._of_models[name]
            self._count(loads, (name, "loads"), facts["loads"])
            self._count(evictions, (name, "evictions"), facts["evictions"])
            size.set(charges.get(name, 0))

    def _count(self, metric, key, total):
        more = total - self._counted.get(key, 0)
        if more > 0:
            metric.increment(more)
            self._counted[key] = total
