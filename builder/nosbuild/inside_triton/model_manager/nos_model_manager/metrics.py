"""What the manager tells of each model goes in; Triton's own /metrics shows it, beside the rest.

``nosbuild_model_loads_total``, ``nosbuild_model_evictions_total``, ``nosbuild_model_crashes_total``
(label ``model``), ``nosbuild_model_memory_bytes`` (``model``, ``memory``),
``nosbuild_memory_budget_bytes`` and ``nosbuild_memory_used_bytes`` (``memory``). A memory is
``host``, or the number of a GPU.
"""

from .sizes import Sizes


class Metrics:
    """The metrics of one manager.

    Args:
        family: ``pb_utils.MetricFamily``.
    """

    def __init__(self, family):
        def gauge(name, description):
            return family(name=name, description=description, kind=family.GAUGE)

        def counter(name, description):
            return family(name=name, description=description, kind=family.COUNTER)

        self._counters = {
            "loads": counter("nosbuild_model_loads_total", "Loads by the model manager"),
            "evictions": counter(
                "nosbuild_model_evictions_total", "Unloads that made room for another model"
            ),
            "crashes": counter(
                "nosbuild_model_crashes_total", "Workers of the model that ended by themselves"
            ),
        }
        self._bytes = gauge("nosbuild_model_memory_bytes", "Bytes of the budget that it takes")
        self._budget = gauge("nosbuild_memory_budget_bytes", "Bytes for all models together")
        self._used = gauge("nosbuild_memory_used_bytes", "Bytes of the budget that are taken")
        self._of_models = {id(one) for one in (*self._counters.values(), self._bytes)}
        self._metrics = {}
        self._counted = {}

    def show(self, kept, charges):
        """Shows what is true now.

        Args:
            kept: as ``Manager.keep`` gives it.
            charges: model -> Sizes of the budget that it takes.
        """
        budget, used = Sizes(kept["budget"]), sum(charges.values(), Sizes())
        for memory, size in budget.items():
            self._of(self._budget, memory=memory).set(size)
        for memory in {**budget, **used}:
            self._of(self._used, memory=memory).set(used[memory])
        for name, facts in kept["models"].items():
            for fact, counter in self._counters.items():
                self._count(counter, name, fact, facts[fact])
            sizes = charges.get(name, Sizes())
            for memory in {**budget, **sizes}:
                self._of(self._bytes, model=name, memory=memory).set(sizes[memory])

        for key in [key for key in self._metrics if self._is_gone(key, kept)]:
            del self._metrics[key]  # Triton shows it no more

    def _is_gone(self, key, kept):
        family, label, *_ = key
        return family in self._of_models and label not in kept["models"]

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
