"""How much of the machine's own limit a model served through the embedded Triton reaches.

Everything is measured in turns within one run (limit, served, limit, ...): machines drift, so
only the ratios mean anything. The limit is ONNX Runtime in this process on the same file, with
the instances and threads that the build chose, at the best of several batch sizes and with
nothing else to do; the served figure pays for HTTP, batching, the hand-over between processes,
and for the load generator, which runs on the same processors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table
from support.http_load import Load, load, prepared_request

import nosbuild
from nosbuild.verify.runners import OnnxRuntimeRunner

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 4, 8, 16)
TOKENS = 32
FEATURES = 16


def main() -> None:
    """Build, serve, measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        minilm = nosbuild.build(ROOT / "model_repository" / "minilm", repository)
        trivial = nosbuild.build(_trivial_model(Path(folder)), repository)
        ids = np.random.default_rng(0).integers(999, 30000, (1, TOKENS))
        sentence = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        features = {"x": np.random.default_rng(0).normal(size=(1, FEATURES)).astype(np.float32)}
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        with nosbuild.serve(repository, **ports) as service, service.client() as client:
            sizes = {"minilm": (1, 16), "trivial": (1, 16)}
            limits: dict[str, dict[int, list[float]]] = {}
            served: dict[str, dict[int, list[Load]]] = {}
            for result, inputs in ((minilm, sentence), (trivial, features)):
                name = result.name
                outputs = list(client.run(name, inputs))
                request = prepared_request(service.http_url, name, inputs, outputs)
                limits[name] = {batch: [] for batch in BATCHES}
                served[name] = {count: [] for count in sizes[name]}
                runners = _runners(result)
                for count in sizes[name]:  # warm-up, not counted
                    load(service.http_url, request, count, 1.0)
                for _ in range(options.rounds):
                    for batch in BATCHES:
                        rate = _limit(runners, inputs, batch, options.seconds / len(BATCHES))
                        limits[name][batch].append(rate)
                    for count in sizes[name]:
                        seen = load(service.http_url, request, count, options.seconds)
                        served[name][count].append(seen)
            batch_sizes = client.statistics("minilm").executions_by_batch_size
    _print(minilm, trivial, limits, served, dict(batch_sizes))


def _trivial_model(folder: Path) -> Path:
    """Y = x + 1 on 16 floats: nothing but overhead."""
    model = folder / "trivial"
    model.mkdir()
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "trivial",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), model / "model.onnx")
    (model / "model.yaml").write_text("name: trivial\nsource: {onnx: model.onnx}\n")
    return model


def _runners(result: nosbuild.BuildResult) -> list[OnnxRuntimeRunner]:
    file = result.folder / str(result.version) / "model.onnx"
    chosen = result.measurement
    return [
        OnnxRuntimeRunner(file, threads=chosen.threads, spinning=chosen.instances == 1)
        for _ in range(chosen.instances)
    ]


def _limit(
    runners: list[OnnxRuntimeRunner], inputs: dict[str, np.ndarray], batch: int, seconds: float
) -> float:
    """Items per second of all sessions together."""
    joined = {name: np.repeat(array, batch, axis=0) for name, array in inputs.items()}

    def busy(runner: OnnxRuntimeRunner) -> int:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            runner.run(joined)
            count += 1
        return count

    begin = time.perf_counter()
    with ThreadPoolExecutor(len(runners)) as pool:
        runs = sum(pool.map(busy, runners))
    return batch * runs / (time.perf_counter() - begin)


def _print(
    minilm: nosbuild.BuildResult,
    trivial: nosbuild.BuildResult,
    limits: dict[str, dict[int, list[float]]],
    served: dict[str, dict[int, list[Load]]],
    batch_sizes: dict[int, int],
) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("model", "", "items/s", "p50 ms", "p99 ms"):
        table.add_column(column)
    for result in (minilm, trivial):
        name = result.name
        chosen = f"{result.measurement.instances} x {result.measurement.threads} threads"
        for batch, rates in limits[name].items():
            what = f"in process, batch {batch}, {chosen}"
            table.add_row(name, what, f"{statistics.median(rates):.0f}")
        for count, loads in served[name].items():
            table.add_row(
                name,
                f"served, {count} connection{'s' * (count > 1)}",
                f"{_rate(loads):.0f}",
                f"{statistics.median(seen.p50_ms for seen in loads):.2f}",
                f"{statistics.median(seen.p99_ms for seen in loads):.2f}",
            )
    console = Console()
    console.print(table)
    console.print(f"minilm's batches in Triton: {batch_sizes}")
    best = max(statistics.median(rates) for rates in limits["minilm"].values())
    # The ratio of each round, so that drift between rounds cancels.
    rounds = zip(*limits["minilm"].values(), strict=True)
    ratios = [
        seen.requests_per_second / max(rates)
        for seen, rates in zip(served["minilm"][16], rounds, strict=True)
    ]
    bare = statistics.median(limits["trivial"][1])
    figures = {
        "served_over_limit_c16": round(statistics.median(ratios), 3),
        "served_rps_c16": round(_rate(served["minilm"][16]), 1),
        "limit_rps": round(best, 1),
        "served_rps_c1": round(_rate(served["minilm"][1]), 1),
        "trivial_p50_ms_c1": round(
            statistics.median(seen.p50_ms for seen in served["trivial"][1]), 3
        ),
        "trivial_rps_c1": round(_rate(served["trivial"][1])),
        "trivial_rps_c16": round(_rate(served["trivial"][16])),
        "trivial_in_process_calls_per_s": round(bare),
    }
    print(json.dumps(figures))


def _rate(loads: list[Load]) -> float:
    return statistics.median(seen.requests_per_second for seen in loads)


if __name__ == "__main__":
    main()
