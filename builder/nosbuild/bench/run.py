"""A running server, a model and loads go in; a ``BenchResult`` comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.bench.figures import level_result
from nosbuild.bench.level import Level, Seen, Target
from nosbuild.bench.load_processes import LoadProcesses, processes_for
from nosbuild.bench.requests import requests_for
from nosbuild.bench.result import BenchResult, LevelResult, ServerSide
from nosbuild.bench.server_side import counted_by, difference, requests_of
from nosbuild.errors import RequestError
from nosclient import Client, NosClientError

if TYPE_CHECKING:
    from nosclient import ModelInfo, ModelStatistics

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
        repository: from which the server serves, where it is on this machine: its golden samples
            are sent. Otherwise random inputs are.
        processes: that make the load; None for as many as it takes.
        on_progress: told what is being done.

    Returns:
        What was found; with a ``failure`` where the server went away in the middle.

    Raises:
        RequestError: loads that cannot be; a model that streams or keeps a state; no such batch.
        NosClientError: there is no such server or model, or it is not loaded.
        HostError: a load process ended.
    """
    _check(levels, duration, warmup, batch, processes)
    say = on_progress or _silent
    with Client(url, deadline=_DEADLINE) as client:
        info = client.get_model_info(model)
        version = _newest(info)
        requests = requests_for(info, repository, batch)
        done: list[LevelResult] = []
        failure = ""
        target = Target(url, model, version, _DEADLINE, requests.inputs)
        with LoadProcesses(target) as load:
            for level in levels:
                measured, failure = _measured(
                    client, load, target, level, duration, warmup, batch, processes, say
                )
                if measured:
                    done.append(measured)
                if failure:
                    break
    return BenchResult(
        model=model,
        version=version,
        url=url,
        inputs=requests.origin,
        real_inputs=requests.real,
        batch=batch,
        warmup_seconds=warmup,
        levels=tuple(done),
        failure=failure,
    )


def _measured(
    client: Client,
    load: LoadProcesses,
    target: Target,
    level: Level,
    duration: float,
    warmup: float,
    batch: int,
    processes: int | None,
    say: Callable[[str], None],
) -> tuple[LevelResult | None, str]:
    """One load, and why it is the last one; empty where it need not be."""
    count = processes or processes_for(level)
    if not level.is_open:
        count = min(count, level.concurrency)
    load.start(count)
    if warmup:
        say(f"{target.model}: {level.name}, {warmup:g} s to warm up")
        warmed = load.make(level, warmup, count)
        if warmed.gone:
            return None, _gone(target, level, warmed)
    try:
        before = client.statistics(target.model, target.version)
    except NosClientError as error:
        return None, f"{target.model} cannot be measured any more: {error.message}"
    say(f"{target.model}: {level.name}, {duration:g} s")
    seen = load.make(level, duration, count)
    server, notes = _server_side(client, target, before, seen)
    result = level_result(level, seen, duration, batch, count, server, notes)
    return result, _gone(target, level, seen) if seen.gone else ""


def _server_side(
    client: Client, target: Target, before: ModelStatistics, seen: Seen
) -> tuple[ServerSide | None, tuple[str, ...]]:
    """What the server did, and what is to be said about it."""
    mine = len(seen.latency)
    try:
        after = counted_by(client, target.model, target.version, requests_of(before) + mine)
    except NosClientError as error:
        return None, (f"the server could not be asked for its counters: {error.message}",)
    if requests_of(after) < requests_of(before) + mine:
        return None, ("the server's counters began anew: the model was loaded again meanwhile",)
    server = difference(before, after)
    others = server.requests - mine - seen.failed
    if others > 0:
        return server, (f"{others:,} requests came from others: they are in the server's figures",)
    return server, ()


def _gone(target: Target, level: Level, seen: Seen) -> str:
    return f"the server at {target.url} was gone with {level.name}: {seen.gone}"


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
