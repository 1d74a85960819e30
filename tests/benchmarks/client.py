"""nosclient beside raw tritonclient, and tensors on the wire beside shared memory.

Everything is measured in turns within one run against one server: machines drift, so only the
ratios mean anything. The server's model gives back what it gets; each tensor travels both ways.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from rich.console import Console
from rich.table import Table
from support.gpu_array import GpuArray, no_gpu
from support.same_model import write_same_model

import nosbuild
from nosclient import Client

FEATURES = 16
THREADS = 16
MEGABYTES = (1, 6, 64)


def main() -> None:
    """Serve, measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        sizes = [FEATURES, *(count * 10**6 // 4 for count in MEGABYTES)]
        for size in sizes:
            write_same_model(repository, size)
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        with nosbuild.serve(repository, **ports) as service:
            small = _small(service.grpc_url, options.rounds, options.seconds)
            large = {
                count: _large(service.grpc_url, size, options.rounds, options.seconds)
                for count, size in zip(MEGABYTES, sizes[1:], strict=True)
            }
            on_gpu = {}
            if reason := no_gpu():
                print(f"CUDA shared memory is left out: {reason}")
            else:
                on_gpu = {
                    count: _on_gpu(service.grpc_url, size, options.rounds, options.seconds)
                    for count, size in zip(MEGABYTES, sizes[1:], strict=True)
                }
    _print(small, large, on_gpu)


def _small(url: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """p50 in ms with one caller and requests a second with many, of both clients."""
    x = np.random.default_rng(0).random((1, FEATURES), np.float32)
    name = f"same_{FEATURES}"
    raw = triton.InferenceServerClient(url)

    def by_raw() -> np.ndarray:
        given = triton.InferInput("x", [1, FEATURES], "FP32")
        given.set_data_from_numpy(x)
        return raw.infer(name, [given]).as_numpy("y")

    with Client(url) as client:

        def by_nosclient() -> np.ndarray:
            return client.run(name, {"x": x})["y"]

        ways = {"tritonclient": by_raw, "nosclient": by_nosclient}
        for way in ways.values():
            np.testing.assert_array_equal(way(), x)
            _many(way, 0.5)
        p50: dict[str, list[float]] = {way: [] for way in ways}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            order = list(ways) if number % 2 else list(ways)[::-1]
            for way in order:
                p50[way].append(statistics.median(_durations(ways[way], seconds)) * 1e3)
            for way in order:
                rates[way].append(_many(ways[way], seconds))
    raw.close()
    return {
        way: {"p50": statistics.median(p50[way]), "rps": statistics.median(rates[way])}
        for way in ways
    }


def _large(url: str, size: int, rounds: int, seconds: float) -> dict[str, float]:
    """p50 in ms of one tensor there and back."""
    x = np.random.default_rng(0).random((1, size), np.float32)
    with Client(url) as wire, Client(url, shared_memory="system") as shared:
        ways = {"wire": wire, "system": shared}
        found = _in_turns(ways, x, x, rounds, seconds)
        assert shared.transport.kind == "system"
    return found


def _on_gpu(url: str, size: int, rounds: int, seconds: float) -> dict[str, float]:
    """The same of a tensor that lies on a GPU; the answer comes to the host.

    Beside it the way that it would take otherwise: copied to the host, then system shared memory.
    """
    x = np.random.default_rng(0).random((1, size), np.float32)
    given = GpuArray(x)
    with Client(url, shared_memory="system") as system, Client(url, shared_memory="auto") as auto:
        found = _in_turns({"system": system, "cuda": auto}, given, x, rounds, seconds)
        assert auto.transport.kind == "cuda", auto.transport
    given.free()
    return found


def _in_turns(
    ways: dict[str, Client], given: object, x: np.ndarray, rounds: int, seconds: float
) -> dict[str, float]:
    name = f"same_{x.size}"
    found: dict[str, list[float]] = {way: [] for way in ways}
    for client in ways.values():
        np.testing.assert_array_equal(client.run(name, {"x": given})["y"], x)
    for _ in range(rounds):
        for way, client in ways.items():
            durations = _durations(lambda c=client: c.run(name, {"x": given}), seconds)
            found[way].append(statistics.median(durations) * 1e3)
    return {way: statistics.median(times) for way, times in found.items()}


def _durations(call: Callable[[], object], seconds: float) -> list[float]:
    found, end = [], time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        call()
        found.append(time.perf_counter() - begin)
    return found


def _many(call: Callable[[], object], seconds: float) -> float:
    """Calls a second of all threads."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(lambda _: len(_durations(call, seconds)), range(THREADS)))
    return sum(counts) / (time.perf_counter() - begin)


def _print(
    small: dict[str, dict[str, float]],
    large: dict[int, dict[str, float]],
    on_gpu: dict[int, dict[str, float]],
) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("", "", "p50 ms", f"requests/s, {THREADS} threads"):
        table.add_column(column)
    for way, seen in small.items():
        table.add_row(f"{FEATURES} floats", way, f"{seen['p50']:.3f}", f"{seen['rps']:.0f}")
    for megabytes, times in large.items():
        for way, p50 in times.items():
            table.add_row(f"{megabytes} MB", f"nosclient, {way}", f"{p50:.2f}")
    for megabytes, times in on_gpu.items():
        for way, p50 in times.items():
            table.add_row(f"{megabytes} MB on a GPU", f"nosclient, {way}", f"{p50:.2f}")
    Console().print(table)
    ours, raw = small["nosclient"], small["tritonclient"]
    figures = {
        "p50_over_tritonclient": round(ours["p50"] / raw["p50"], 3),
        "rps16_over_tritonclient": round(ours["rps"] / raw["rps"], 3),
    }
    for megabytes, times in large.items():
        figures[f"shm_speedup_{megabytes}mb"] = round(times["wire"] / times["system"], 2)
    for megabytes, times in on_gpu.items():
        figures[f"cuda_speedup_{megabytes}mb"] = round(times["system"] / times["cuda"], 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
