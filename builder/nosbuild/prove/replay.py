"""A published version and a caller go in; one Way comes out: every answer, judged by the bars."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from nosbuild.errors import Refused
from nosbuild.prove.callers import Caller, Outputs
from nosbuild.prove.proof import ServedFinding, Transport, Way
from nosbuild.prove.published import PublishedVersion
from nosbuild.prove.wire import Arrays, answer_to, candidates, references, request_of
from nosbuild.verify.compare import Comparison
from nosbuild.verify.metrics import SHARES
from nosclient import ModelNotReady, NosClientError, ServerUnavailable, Unauthorized

if TYPE_CHECKING:
    from nosclient import Client, ModelStatistics

Answer = Outputs | NosClientError
"""What came back, or why nothing did."""
Run = tuple[int, ...]
"""Indices of samples that are sent one after the other: a sequence, or one sample alone."""

BURST = 48
"""Requests that are sent together at least, where the server may join them."""
IN_FLIGHT = 32
"""Of them at once, at most."""
BURST_SECONDS = 3.0
"""For how long bursts are repeated while the server joins nothing: quick models answer each
request before the next one comes."""
_QUEUE_SECONDS = 30.0
"""How long a request is sent again that the model's queue did not take."""
_STATISTICS_SECONDS = 2.0
"""Triton counts a run a moment after its answers have left."""


def in_flight(published: PublishedVersion) -> int:
    """How many requests to send at once: enough for full batches, no more than the queue takes."""
    wanted = min(IN_FLIGHT, max(4, 2 * published.max_batch_size))
    return max(2, min(wanted, published.queue_size or wanted))


def replay(
    published: PublishedVersion,
    caller: Caller,
    statistics: Client,
    transport: Transport,
    *,
    at_once: int,
    burst: int = BURST,
    patience: float = BURST_SECONDS,
) -> Way:
    """Send every golden sample and compare what comes back.

    Args:
        published: what is proven.
        caller: how to send.
        statistics: a client of the same server, for its counters.
        transport: the caller's name.
        at_once: requests in flight; 1 for one by one. Of more, until the server has joined some
            where it may.
        burst: requests that are sent at least where it may.
        patience: seconds for which bursts are repeated while it joins none.

    Raises:
        ServerUnavailable: the server is gone.
        Unauthorized: it asks for a secret.
        InputError: a metric of the user's own raises.
    """
    together = at_once > 1
    started = time.monotonic()
    before = statistics.statistics(published.name, published.version)
    judged = _Judged(published)
    after, requests = before, 0
    for runs in _bursts(published, started + patience, together, burst):
        answered = (
            _send_together(published, caller, runs, at_once)
            if together
            else (pair for run in runs for pair in _send(published, caller, run))
        )
        for index, answer in answered:
            judged.add(index, answer)
            if judged.failure:
                break
        requests += sum(map(len, runs))
        after = _counted(published, statistics, before, 0 if judged.failure else requests)
        if judged.failure or after.execution_count - before.execution_count < requests:
            break
    largest = [
        size
        for size, count in after.executions_by_batch_size.items()
        if count > before.executions_by_batch_size.get(size, 0)
    ]
    return Way(
        transport=transport,
        together=together,
        requests=requests,
        runs=after.execution_count - before.execution_count,
        from_cache=after.cache_hit.count - before.cache_hit.count,
        largest_batch=max(largest, default=0),
        findings=judged.findings(),
        failure=judged.failure,
        seconds=time.monotonic() - started,
    )


class _Judged:
    """Answers, compared one by one; the first that cannot be is the failure."""

    def __init__(self, published: PublishedVersion) -> None:
        self.failure = ""
        self._published = published
        self._comparison = Comparison(published.bars, published.outputs, published.pad)

    def add(self, index: int, answer: Answer) -> None:
        """Compare one answer with the source's."""
        if isinstance(answer, NosClientError):
            self.failure = f"golden sample {index}: {answer.message}"
            return
        expected = references(self._published, index)
        found = answer if isinstance(answer, list) else [answer]
        if len(found) != len(expected):
            self.failure = (
                f"golden sample {index}: {len(found)} chunks came, the source gives {len(expected)}"
            )
            return
        try:
            for one, reference in zip(found, expected, strict=True):
                self._comparison.add(candidates(one, reference), reference, [index])
        except Refused as refused:
            self.failure = refused.message

    def findings(self) -> tuple[ServedFinding, ...]:
        """The worst of every bar so far."""
        found = self._comparison.findings()
        bars = {(output, bar.describe()): bar for output, bar in self._comparison.checks}
        findings = []
        for finding in found:
            bar = bars.get((finding.output, finding.bar))
            holds = finding.holds
            if bar and bar.metric in SHARES:
                holds = holds or self._few_misses(finding.value, bar.threshold)
            findings.append(
                ServedFinding(
                    output=finding.output,
                    bar=finding.bar,
                    value=finding.value,
                    holds=holds,
                    sample=finding.sample,
                    higher_is_better=bar.higher_is_better if bar else False,
                )
            )
        return tuple(findings)

    def _few_misses(self, share: float, threshold: float) -> bool:
        """A bar on a share lets so many of all samples miss; the golden ones are a part of them."""
        missed = (1 - share) * len(self._published.samples)
        return missed <= (1 - threshold) * self._published.proven_samples + 1e-9


def _bursts(
    published: PublishedVersion, until: float, together: bool, size: int
) -> Iterator[Sequence[Run]]:
    """What to send; together, again and again until the time is over."""
    if not together:
        yield _runs(published)
        return
    burst = list(_burst(published, size if published.joins else 0))
    yield burst
    while published.joins and time.monotonic() < until:
        yield burst


def _runs(published: PublishedVersion) -> list[Run]:
    return list(published.sequences) or [(index,) for index in range(len(published.samples))]


def _burst(published: PublishedVersion, size: int) -> Iterator[Run]:
    """Every sample, those of one shape side by side: Triton joins only such, as they come."""
    groups: dict[tuple[tuple[int, ...], ...], list[Run]] = {}
    for run in _runs(published):
        shapes = tuple(array.shape for array in published.samples[run[0]].inputs.values())
        groups.setdefault(shapes, []).append(run)
    for group in groups.values():
        requests = sum(map(len, group)) / len(group)
        least = max(2, math.ceil(size / len(groups) / requests))
        for position in range(max(least, len(group))):
            yield group[position % len(group)]


def _send_together(
    published: PublishedVersion, caller: Caller, runs: Sequence[Run], at_once: int
) -> Iterator[tuple[int, Answer]]:
    with ThreadPoolExecutor(at_once, thread_name_prefix="prove") as pool:
        for answers in pool.map(lambda run: list(_send(published, caller, run)), runs):
            yield from answers


def _send(published: PublishedVersion, caller: Caller, run: Run) -> Iterator[tuple[int, Answer]]:
    """Each sample with its answer, until there is none; ServerUnavailable is raised."""
    if not published.sequences:
        (index,) = run
        yield index, _answer(published, caller.run, index)
        return
    step = caller.sequence()
    for index in run:
        send = partial(step, first=index == run[0], last=index == run[-1])
        answer = _answer(published, send, index)
        yield index, answer
        if isinstance(answer, NosClientError):
            return


def _answer(
    published: PublishedVersion, send: Callable[[Arrays, Arrays], Outputs], index: int
) -> Answer:
    """The answer, or why there is none; ServerUnavailable and Unauthorized are raised."""
    until = time.monotonic() + _QUEUE_SECONDS
    inputs, like = request_of(published, index), answer_to(published, index)
    while True:
        try:
            return send(inputs, like)
        except (ServerUnavailable, Unauthorized):
            raise
        except ModelNotReady as error:
            # The queue's limits are the user's own: what it refuses now is not wrong.
            if time.monotonic() > until:
                return error
            time.sleep(0.05)
        except NosClientError as error:
            return error


def _counted(
    published: PublishedVersion, statistics: Client, before: ModelStatistics, requests: int
) -> ModelStatistics:
    """The counters, once all requests are in them: Triton counts requests first, runs then."""
    until = time.monotonic() + _STATISTICS_SECONDS
    while True:
        now = statistics.statistics(published.name, published.version)
        answered = now.success.count - before.success.count
        run = sum(size * count for size, count in now.executions_by_batch_size.items())
        complete = answered >= requests and run >= now.inference_count
        if complete or time.monotonic() > until:
            return now
        time.sleep(0.01)
