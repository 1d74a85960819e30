"""More models than memory: what the model manager keeps loaded, and what it costs.

Threads ask for models as people do (Zipf: the second half as often as the first, the third a third
as often), more than the budget holds. How often a model was there when it was asked for stands
beside two simulations on the same trace: least recently used without any delay, and Belady's, which
knows the future. Then one model, loaded, on a server with the manager and on one without, in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from support.same_model import write_same_model

import nosbuild
from nosbuild.runtime.model_manager import ask_manager
from nosclient import Client, NosClientError

MODELS = [f"m{number:02}" for number in range(12)]
ROOM = 4
"""Models that the budget holds."""
THREADS = 16
DEADLINE = 60.0
SAMPLE_SECONDS = 0.2
PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
X = np.ones((1, 16), np.float32)
BALLAST = 48 << 20
"""Bytes that make a model worth its unloading."""


def main() -> None:
    """Serve, ask, simulate, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of asking")
    parser.add_argument("--rounds", type=int, default=12, help="of the hot path")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        for name in MODELS:
            write_same_model(repository, X.size, name, BALLAST)
        more = {"on_demand": True, "memory": "8GiB"}
        with nosbuild.serve(repository, **PORTS, **more) as service:
            crowd = _crowd(service, options.seconds)
            with nosbuild.serve(repository, models=MODELS[:1], **PORTS) as plain:
                hot = _hot_path(service.grpc_url, plain.grpc_url, options.rounds)
    _print(crowd, hot)


@dataclass
class Crowd:
    """What the threads saw, and the manager told."""

    trace: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    budget: int = 0
    used: list[int] = field(default_factory=list)
    """Bytes that the manager counts, by sample."""
    resident: list[int] = field(default_factory=list)
    """The same as the processes show it."""
    loads: int = 0
    evictions: int = 0

    @property
    def hit_rate(self) -> float:
        """Each load is a miss of one request; those that wait for the same load are none."""
        return 1 - self.loads / len(self.trace)

    @property
    def breaches(self) -> int:
        """Samples in which more was used than allowed."""
        over = zip(self.used, self.resident, strict=True)
        return sum(max(sample) > self.budget for sample in over)


def _crowd(service: nosbuild.InferenceService, seconds: float) -> Crowd:
    crowd = Crowd()
    with Client(service.grpc_url, deadline=DEADLINE) as client:
        for name in MODELS:  # so that the size of each is known
            client.run(name, {"x": X})
        models = _ask(client, "status")["models"]
        largest = max(models[name]["bytes"] for name in MODELS)
        crowd.budget = round(largest * (ROOM + 0.5))
        _ask(client, "budget", bytes=crowd.budget)
        for name in MODELS[ROOM:]:
            _ask(client, "release", model=name)
        before = _ask(client, "status")["models"]
        end = time.monotonic() + seconds
        draw, lock = _zipf(), threading.Lock()

        def work() -> None:
            while time.monotonic() < end:
                with lock:
                    name = next(draw)
                    crowd.trace.append(name)
                began = time.perf_counter()
                try:
                    client.run(name, {"x": X})
                except NosClientError as error:
                    crowd.failures.append(f"{type(error).__name__}: {error}")
                crowd.seconds.append(time.perf_counter() - began)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            crowd.used.append(_ask(client, "budget")["used_bytes"])
            crowd.resident.append(_resident(service.pid))
            time.sleep(SAMPLE_SECONDS)
        after = _ask(client, "status")["models"]
    for what in ("loads", "evictions"):
        total = sum(after[name][what] - before[name][what] for name in MODELS)
        setattr(crowd, what, total)
    return crowd


def _ask(client: Client, operation: str, **more: Any) -> dict[str, Any]:
    return ask_manager(client, operation, timeout=DEADLINE, **more)


def _resident(pid: int) -> int:
    """Proportional set sizes of the models' workers."""
    total = 0
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):  # it ended just now
            if any(f"/{name}/" in word for word in child.cmdline() for name in MODELS):
                total += child.memory_full_info().pss
    return total


def _zipf() -> Iterator[str]:
    chance = random.Random(0)
    weights = [1 / rank for rank in range(1, len(MODELS) + 1)]
    while True:
        yield chance.choices(MODELS, weights)[0]


def lru_hit_rate(trace: list[str], room: int) -> float:
    """Of a cache for so many that drops the least recently used, empty at first."""
    kept: dict[str, None] = {}
    misses = 0
    for name in trace:
        if name in kept:
            del kept[name]
        else:
            misses += 1
            if len(kept) == room:
                del kept[next(iter(kept))]
        kept[name] = None
    return 1 - misses / len(trace)


def belady_hit_rate(trace: list[str], room: int) -> float:
    """Of one that drops what is needed again last (Belady 1966): none has fewer misses."""
    never = len(trace)
    next_use = [never] * len(trace)
    seen: dict[str, int] = {}
    for place in reversed(range(len(trace))):
        next_use[place] = seen.get(trace[place], never)
        seen[trace[place]] = place
    kept: dict[str, int] = {}
    misses = 0
    for place, name in enumerate(trace):
        if name not in kept:
            misses += 1
            if len(kept) == room:
                del kept[max(kept, key=lambda one: kept[one])]
        kept[name] = next_use[place]
    return 1 - misses / len(trace)


def _hot_path(managed: str, plain: str, rounds: int) -> dict[str, float]:
    """p50 in ms of one loaded model, on each server, in turns."""
    with Client(managed, deadline=DEADLINE) as one, Client(plain, deadline=DEADLINE) as other:
        ways: dict[str, Callable[[], object]] = {
            "managed": lambda: one.run(MODELS[0], {"x": X}),
            "plain": lambda: other.run(MODELS[0], {"x": X}),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for way in ways.values():
            _p50(way)
        for number in range(rounds):
            for way in list(ways) if number % 2 else list(ways)[::-1]:
                found[way].append(_p50(ways[way]))
    return {way: statistics.median(values) for way, values in found.items()}


def _p50(call: Callable[[], object]) -> float:
    seconds, end = [], time.perf_counter() + 0.5
    while (began := time.perf_counter()) < end:
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def _print(crowd: Crowd, hot: dict[str, float]) -> None:
    lru, belady = lru_hit_rate(crowd.trace, ROOM), belady_hit_rate(crowd.trace, ROOM)
    table = Table(box=None, show_header=False)
    rows = {
        "requests": f"{len(crowd.trace)}, {len(crowd.failures)} failed {crowd.failures[:1] or ''}",
        "p50, p99, longest": ", ".join(
            f"{1e3 * value:.1f} ms"
            for value in (*np.quantile(crowd.seconds, [0.5, 0.99]), max(crowd.seconds))
        ),
        "loads, evictions": f"{crowd.loads}, {crowd.evictions}",
        "share of hits": f"{crowd.hit_rate:.4f} (LRU {lru:.4f}, Belady {belady:.4f})",
        "budget": f"{crowd.budget / 2**20:.0f} MiB; at most {max(crowd.used) / 2**20:.0f} counted, "
        f"{max(crowd.resident) / 2**20:.0f} in processes, of {len(crowd.used)} samples",
        "p50 of a loaded model": f"{hot['managed']:.3f} ms with the manager, "
        f"{hot['plain']:.3f} without",
    }
    for row in rows.items():
        table.add_row(*row)
    Console(width=120).print(table)
    figures = {
        "failed": len(crowd.failures),
        "hit_rate": round(crowd.hit_rate, 4),
        "lru_hit_rate": round(lru, 4),
        "belady_hit_rate": round(belady, 4),
        "budget_breaches": crowd.breaches,
        "hot_path_ratio": round(hot["managed"] / hot["plain"], 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
