"""A running server, a model and loads go in; a ``BenchResult`` comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nosbuild.bench.circumstances import this_machine, versions_of
from nosbuild.bench.figures import level_result
from nosbuild.bench.level import Level, Seen, Target
from nosbuild.bench.load_processes import LoadProcesses, processes_for
from nosbuild.bench.requests import requests_for
from nosbuild.bench.result import BenchResult, LevelResult, ServerSide
from nosbuild.bench.server_side import counted_by, difference, requests_of
from nosbuild.errors import RequestError
from nosbuild.report.units import counted
from nosbuild.runtime.server_access import Access
from nosbuild.runtime.service_record import service_at
from nosclient import Client, NosClientError

if TYPE_CHECKING:
    from nosclient import TLS, ModelInfo, ModelStatistics

_DEADLINE = 60.0
"""Seconds for each request: one that a stopped server never answers must not hold up the end."""
_MOST_CONCURRENCY = 4096


def bench(
    url: str,
    model: str,
    levels: Sequence[Level],
    *,
    duration: float = 10.0,
    warmup: float = 2.0,
    batch: int = 1,
    repository: Path | None = None,
    processes: int | None = None,
    shared_memory: bool = False,
    tls: TLS | None = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    restricted_keys: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BenchResult:
    """Put one load after the other on a model of a running server.

    Args:
        url: of the server, as for ``nosclient.Client``.
        model: its name.
        levels: the loads, in their order.
        duration: seconds for which each is measured.
        warmup: seconds of the same load before, which are not counted.
        batch: items in each request.
        repository: from which the server serves: its golden samples are sent, and random inputs
            where it has none. None: that of the service of this machine that listens at the url.
        processes: that make the load; None for as many as it takes.
        shared_memory: large tensors pass through memory that a server on this machine maps.
        tls: as for ``nosclient.Client``, as are the next three; the processes that make the load
            get them through pipes.
        token: a string: there is no function that several processes could share.
        headers: that go with each request.
        restricted_keys: of Triton's restricted APIs.
        on_progress: told what is being done.

    Returns:
        What was found; with a ``failure`` where the server went away in the middle.

    Raises:
        RequestError: loads that cannot be; a model that streams or keeps a state; no such batch.
        NosClientError: there is no such server or model, or it is not loaded.
        HostError: a load process ended.
        BenchInterrupted: Ctrl-C, after something was measured.
    """
    _check(levels, duration, warmup, batch, processes)
    mode: Literal["off", "system"] = "system" if shared_memory else "off"
    if repository is None and (record := service_at(url)):
        repository = Path(record.repository)
    began = datetime.now(timezone.utc)
    access = Access(tls, token, headers or {}, restricted_keys or {})
    with access.client(url, deadline=_DEADLINE, shared_memory=mode) as client:
        info = client.get_model_info(model)
        requests = requests_for(info, repository, batch)
        target = Target(url, model, _newest(info), _DEADLINE, requests.inputs, access, mode)
        versions = versions_of(client)
        notes: list[str] = []
        if shared_memory:  # that it cannot be had is better said once than for each request
            before = requests_of(client.statistics(model, target.version))
            client.run(model, target.requests[0], version=target.version)
            counted_by(client, model, target.version, before + 1)  # none of the first load's
            if client.transport.kind == "wire":
                notes.append(
                    "shared memory was asked for, but tensors go over the wire: "
                    + client.transport.reason
                )
        transport = str(client.transport) if shared_memory else "wire"
        done: list[LevelResult] = []
        failure = ""
        interrupted = False
        with LoadProcesses(target) as load:
            measuring = _Measuring(
                client=client,
                load=load,
                target=target,
                is_ensemble=info.platform == "ensemble",
                duration=duration,
                warmup=warmup,
                batch=batch,
                processes=processes,
                say=on_progress or _silent,
            )
            for level in levels:
                try:
                    measured, failure = measuring.level(level)
                except KeyboardInterrupt:
                    if not done:
                        raise
                    interrupted = True
                    failure = f"interrupted: {len(done)} of {counted(len(levels), 'load')} measured"
                    break
                if measured:
                    done.append(measured)
                if failure:
                    break
    found = BenchResult(
        measured_at=began.isoformat(timespec="seconds"),
        machine=this_machine(),
        versions=versions,
        notes=tuple(notes),
        model=model,
        version=target.version,
        url=url,
        inputs=requests.origin,
        real_inputs=requests.real,
        transport=transport,
        batch=batch,
        warmup_seconds=warmup,
        levels=tuple(done),
        failure=failure,
    )
    if interrupted:
        raise BenchInterrupted(found)
    return found


class BenchInterrupted(KeyboardInterrupt):
    """Ctrl-C; what was measured until then is ``found``."""

    def __init__(self, found: BenchResult) -> None:
        super().__init__(found.failure)
        self.found = found


@dataclass(frozen=True)
class _Measuring:
    """What is the same for every load."""

    client: Client
    load: LoadProcesses
    target: Target
    is_ensemble: bool
    duration: float
    warmup: float
    batch: int
    processes: int | None
    say: Callable[[str], None]

    def level(self, level: Level) -> tuple[LevelResult | None, str]:
        """One load, and why it is the last one; empty where it need not be."""
        target = self.target
        count = self.processes or processes_for(level)
        if not level.is_open:
            count = min(count, level.concurrency)
        self.load.start(count)
        try:
            before = self.client.statistics(target.model, target.version)
            if self.warmup:
                self.say(f"{target.model}: {level.name}, {self.warmup:g} s to warm up")
                warmed = self.load.make(level, self.warmup, count)
                if warmed.gone:
                    return None, self._gone(level, warmed)
                counted = requests_of(before) + len(warmed.latency) + warmed.run_twice
                before = counted_by(self.client, target.model, target.version, counted)
        except NosClientError as error:
            return None, f"{target.model} cannot be measured any more: {error.message}"
        self.say(f"{target.model}: {level.name}, {self.duration:g} s")
        seen = self.load.make(level, self.duration, count)
        server, notes = self._server_side(before, seen)
        result = level_result(level, seen, self.duration, self.batch, count, server, notes)
        return result, self._gone(level, seen) if seen.gone else ""

    def _server_side(
        self, before: ModelStatistics, seen: Seen
    ) -> tuple[ServerSide | None, tuple[str, ...]]:
        """What the server did, and what is to be said about it."""
        target, mine = self.target, len(seen.latency) + seen.run_twice
        try:
            expected = requests_of(before) + mine
            after = counted_by(self.client, target.model, target.version, expected)
        except NosClientError as error:
            return None, (f"the server could not be asked for its counters: {error.message}",)
        if requests_of(after) < expected:
            return None, ("the server's counters began anew: the model was loaded again",)
        server = difference(before, after)
        notes = []
        others = server.requests - mine - seen.failed
        if seen.run_twice:
            notes.append(
                f"{seen.run_twice:,} of the requests were run twice, since an output was larger "
                "than its shared memory: both are in the server's figures"
            )
        if others > 0:
            notes.append(f"{others:,} requests came from others: they are in the server's figures")
        if self.is_ensemble:
            notes.append(
                "an ensemble neither queues nor computes itself: nosbuild status tells what its "
                "models did"
            )
        return server, tuple(notes)

    def _gone(self, level: Level, seen: Seen) -> str:
        return f"the server at {self.target.url} was gone with {level.name}: {seen.gone}"


def _newest(info: ModelInfo) -> str:
    """Named in each request, so that what is measured and what is counted are the same."""
    return str(max((int(version) for version in info.versions), default=""))


def _check(
    levels: Sequence[Level], duration: float, warmup: float, batch: int, processes: int | None
) -> None:
    if not levels:
        raise RequestError("no load was named", "Name a concurrency, e.g. 8, or a rate.")
    for level in levels:
        if level.concurrency < 0 or not (level.concurrency or level.rate):
            raise RequestError(
                f"{level.concurrency} callers send nothing", "Give a concurrency of 1 or more."
            )
        if level.concurrency > _MOST_CONCURRENCY:
            raise RequestError(
                f"{level.concurrency:,} callers are more than this machine's threads bear",
                f"Give a concurrency of at most {_MOST_CONCURRENCY:,}.",
            )
        if level.rate < 0 or not math.isfinite(level.rate):
            raise RequestError(
                f"{level.rate:g} requests a second is no rate", "Give a rate above 0."
            )
    if not (duration > 0 and math.isfinite(duration)):
        raise RequestError(
            f"a duration of {duration:g} s measures nothing", "Give seconds above 0, e.g. 10."
        )
    for level in levels:
        if level.is_open and level.rate * duration < 1:
            raise RequestError(
                f"at {level.rate:g} requests a second, none leaves within {duration:g} s",
                f"Give a duration of more than {1 / level.rate:g} s.",
            )
    if not (warmup >= 0 and math.isfinite(warmup)):
        raise RequestError(f"a warm-up of {warmup:g} s cannot be", "Give seconds, or 0 for none.")
    if batch < 1:
        raise RequestError(f"requests of {batch} items cannot be sent", "Give 1 or more.")
    if processes is not None and processes < 1:
        raise RequestError(f"{processes} processes send nothing", "Give 1 or more, or none.")


def _silent(_: str) -> None:
    return
