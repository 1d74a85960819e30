"""What the manager keeps of each model goes in; Triton's own /metrics shows it, beside the rest.

``nosbuild_model_loads_total``, ``nosbuild_model_evictions_total`` (label ``model``),
``nosbuild_model_memory_bytes`` (``model``, ``memory``), ``nosbuild_memory_budget_bytes`` and
``nosbuild_memory_used_bytes`` (``memory``). A memory is ``host``, or the number of a GPU.
"""

from collections import Counter

HOST = "host"


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

        self._counters = {
            "loads": counter("nosbuild_model_loads_total", "Loads by the model manager"),
            "evictions": counter(
                "nosbuild_model_evictions_total", "Unloads that made room for another model"
            ),
        }
        self._bytes = gauge("nosbuild_model_memory_bytes", "Bytes of the budget that it takes")
        self._budget = gauge("nosbuild_memory_budget_bytes", "Bytes for all models together")
        self._used = gauge("nosbuild_memory_used_bytes", "Bytes of the budget that are taken")
        self._metrics = {}
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
        budget, used = _by_memory(kept["budget"]), Counter()
        for charge in charges.values():
            used.update(_by_memory(charge))
        for memory, size in budget.items():
            self._of(self._budget, memory=memory).set(size)
        for memory in {**budget, **used}:
            self._of(self._used, memory=memory).set(used[memory])
        for name, facts in kept["models"].items():
            for fact, counter in self._counters.items():
                self._count(counter, name, fact, facts[fact])
            sizes = _by_memory(charges.get(name, 0))
            for memory in {**budget, **sizes}:
                self._of(self._bytes, model=name, memory=memory).set(sizes.get(memory, 0))

    def _count(self, counter, name, fact, total):
        metric = self._of(counter, model=name)
        more = total - self._counted.get((name, fact), 0)
        if more > 0:
            metric.increment(more)
            self._counted[name, fact] = total

    def _of(self, family, **labels):
        key = id(family), *labels.values()
        if key not in self._metrics:
            self._metrics[key] = family.Metric(labels=labels)
        return self._metrics[key]


def _by_memory(size):
    """Memory -> bytes; a number is of main memory."""
    return size if isinstance(size, dict) else {HOST: size}
