"""Triton's counters before and after a load go in; what it did meanwhile comes out."""

from __future__ import annotations

import time

from nosbuild.bench.result import ServerSide
from nosclient import Client, Duration, ModelStatistics

_PATIENCE_SECONDS = 2.0
"""Triton counts a request after it was answered."""
_POLL_SECONDS = 0.02


def counted_by(client: Client, model: str, version: str, at_least: int) -> ModelStatistics:
    """The counters, once they have come so far, or do not move any more.

    Raises:
        NosClientError: the server, or the model, is gone.
    """
    limit = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = client.statistics(model, version)
        if requests_of(found) >= at_least or time.monotonic() > limit:
            return found
        time.sleep(_POLL_SECONDS)


def requests_of(counters: ModelStatistics) -> int:
    """Requests that were answered, if with an error."""
    return counters.success.count + counters.fail.count


def difference(before: ModelStatistics, after: ModelStatistics) -> ServerSide:
    """What was done between the two."""
    old = before.executions_by_batch_size
    runs = {
        size: count - old.get(size, 0)
        for size, count in sorted(after.executions_by_batch_size.items())
        if count > old.get(size, 0)
    }
    return ServerSide(
        requests=requests_of(after) - requests_of(before),
        items=after.inference_count - before.inference_count,
        executions=after.execution_count - before.execution_count,
        queue_ms=_mean_ms(before.queue, after.queue),
        compute_input_ms=_mean_ms(before.compute_input, after.compute_input),
        compute_infer_ms=_mean_ms(before.compute_infer, after.compute_infer),
        compute_output_ms=_mean_ms(before.compute_output, after.compute_output),
        executions_by_batch_size=runs,
        from_cache=after.cache_hit.count - before.cache_hit.count,
    )


def _mean_ms(before: Duration, after: Duration) -> float:
    count = after.count - before.count
    return (after.ns - before.ns) / count / 1e6 if count > 0 else 0.0
