"""The whole way on a GPU: engines built, proven against the CPU, served, compared and timed.

    make gpu-check                  or: python tests/gpu/check.py minilm efficientnet_lite0

Prints a table in Markdown for the docs; the last line is JSON. Without a GPU it says so and ends
well: {"skipped": ...}. A figure out of its bar, or anything that fails, ends it with 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nosbuild import build, load_spec, serve
from nosbuild.export.run import export_onnx
from nosbuild.optimize.fp16 import fp16
from nosbuild.optimize.slim import slim
from nosbuild.optimize.tensorrt import builders, profiles_from, tensorrt_from_onnx
from nosbuild.plan.gpus import Gpu, NoGpu, gpus
from nosbuild.prove.run import prove_served
from nosbuild.repository.config import config_dims
from nosbuild.spec import ModelSpec
from nosbuild.steps.functions import complete
from nosbuild.tensors import BATCH
from nosbuild.verify.runners import OnnxRuntimeRunner
from nosbuild.verify.samples import batches, load_samples
from nosbuild.verify.tensorrt_runner import TensorRTRunner
from nosclient._cuda_driver import missing as cuda_is_missing

GALLERY = Path(__file__).resolve().parents[2] / "model_repository"
MODELS = ("minilm", "efficientnet_lite0")
PRECISIONS = {"fp32": None, "fp16": fp16}
ERROR_BARS = {"fp32": 5e-3, "fp16": 5e-2}
"""Largest error, relative to the output's scale: TF32 and half precision round."""
RUNS = 50
CALLERS = 16

Arrays = dict[str, np.ndarray]


@dataclass
class Figure:
    """One engine, run in this process and through Triton."""

    model: str
    engine: str
    precision: str
    build_s: float
    megabytes: float
    error: float
    ms_batch_1: float
    ms_typical: float
    served_error: float
    served_per_s: float


def main(models: Sequence[str]) -> int:
    """Everything for each model; 0 where all of it held."""
    found = gpus()
    if isinstance(found, NoGpu):
        print(f"skipped: {found.reason}")
        print(json.dumps({"skipped": found.reason}))
        return 0
    figures: list[Figure] = []
    builds: list[dict[str, Any]] = []
    failures: list[str] = []
    for name, missing in builders().reasons.items():
        print(f"without {name}: {missing}")
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            for what, check in (("engines", _engines), ("build", _build)):
                try:
                    for figure in check(model, Path(folder)):
                        (figures if isinstance(figure, Figure) else builds).append(figure)
                except Exception:  # noqa: BLE001 - the other models are still to be checked
                    traceback.print_exc()
                    failures.append(f"{model}: {what}")
    if not _shared_memory():
        failures.append("CUDA shared memory")
    failures += [
        f"{figure.model} {figure.engine} {figure.precision}: error {worst:.2g}"
        for figure in figures
        if not (worst := max(figure.error, figure.served_error)) <= ERROR_BARS[figure.precision]
    ]
    print(_markdown(found[0], figures))
    result = {
        "date": date.today().isoformat(),
        "gpu": asdict(found[0]),
        "engines": [asdict(figure) for figure in figures],
        "builds": builds,
        "failures": failures,
    }
    print(json.dumps(result))
    return 1 if failures or not figures else 0


def _engines(model: str, folder: Path) -> Iterator[Figure]:
    """An engine for each TensorRT and precision, beside ONNX Runtime on the CPU."""
    spec = load_spec(GALLERY / model)
    export = _made(folder / model / "export")
    spec = complete(spec, export_onnx(spec, export))
    slim(export / "model.onnx", _made(folder / model / "fp32"))
    samples = load_samples(spec, spec.input_tensors or ()).items
    largest = spec.dim_range(BATCH).max
    sent = [batch.inputs for batch in batches(samples, largest, every_shape=True)]
    reference = OnnxRuntimeRunner(export / "model.onnx")
    expected = [reference.run(inputs) for inputs in sent]
    for precision, convert in PRECISIONS.items():
        graph = _made(folder / model / precision)
        if convert is not None:
            convert(folder / model / "fp32/model.onnx", graph)
        for flavour in builders().available:
            name = f"{model}_{precision}_{flavour.name}"
            version = _made(folder / "engines" / name / "1")
            start = time.perf_counter()
            tensorrt_from_onnx(
                graph / "model.onnx", version, profiles=profiles_from(spec), flavour=flavour.name
            )
            took = time.perf_counter() - start
            runner = TensorRTRunner(version / "model.plan")
            error = _worst(expected, [runner.run(inputs) for inputs in sent])
            one, typical = (
                next(batches(samples, size, every_shape=False)).inputs
                for size in (1, spec.dim_range(BATCH).typical)
            )
            times = [_milliseconds(partial(runner.run, inputs)) for inputs in (one, typical)]
            runner.close()
            (version.parent / "config.pbtxt").write_text(_config(spec))
            served_error, per_second = _served(version.parent, samples, expected, sent)
            size = (version / "model.plan").stat().st_size / 1e6
            yield Figure(
                model, flavour.title, precision, took, size, error, *times, served_error, per_second
            )


def _served(
    model: Path, samples: Sequence[Arrays], expected: list[Arrays], sent: list[Arrays]
) -> tuple[float, float]:
    """Error of whole batches, and single items a second, through the embedded Triton."""
    with serve(model.parent, models=[model.name]) as service, service.client() as client:
        error = _worst(expected, [client.run(model.name, inputs) for inputs in sent])
        items = [{name: array[None] for name, array in item.items()} for item in samples]
        requests = (items * (1 + RUNS * CALLERS // len(items)))[: RUNS * CALLERS]
        start = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda inputs: client.run(model.name, inputs), requests))
        return error, len(requests) / (time.perf_counter() - start)


def _build(model: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What a user does: build for this GPU, then prove it through the server."""
    repository = _made(folder / "published")
    result = build(GALLERY / model, repository, precision="auto", target="gpu")
    proofs = prove_served(repository, [model])
    print(f"{model}: {result.report.headline}")
    for row in result.variants:
        print(f"  {row.name}: {row.verdict} {row.reason}")
    for proof in proofs:
        if not proof.passed:
            raise AssertionError(proof.refusal())
    yield {
        "model": model,
        "published": result.report.published,
        "headline": result.report.headline,
        "variants": {row.name: [row.verdict, row.reason] for row in result.variants},
    }


def _shared_memory() -> bool:
    """Tests of nosclient's with a GPU on both sides; they say what fails."""
    if reason := cuda_is_missing():  # they would be skipped
        print(f"nosclient finds no CUDA: {reason}")
        return False
    tests = Path(__file__).resolve().parents[1] / "client/test_cuda_shared_memory.py"
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-k", "gpu", tests])
    return ran.returncode == 0


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _worst(expected: list[Arrays], found: list[Arrays]) -> float:
    """Largest difference of any output, relative to the largest value of that output."""
    worst = 0.0
    for wanted, answer in zip(expected, found, strict=True):
        for name, array in wanted.items():
            scale = float(np.abs(array).max()) or 1.0
            difference = np.abs(array.astype(np.float64) - answer[name].reshape(array.shape))
            worst = max(worst, float(difference.max()) / scale)
            if not np.isfinite(difference).all():
                return float("inf")
    return worst


def _milliseconds(run: Callable[[], object]) -> float:
    """Median of many runs."""
    times = []
    for _ in range(RUNS + 5):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[5:]))


def _config(spec: ModelSpec) -> str:
    lines = ['backend: "tensorrt"', f"max_batch_size: {spec.max_batch_size}"]
    lines += ["dynamic_batching { }", "instance_group { count: 1 kind: KIND_GPU }"]
    for kind, tensors in (("input", spec.input_tensors), ("output", spec.output_tensors)):
        for tensor in tensors or ():
            body = f'name: "{tensor.name}" data_type: {tensor.dtype.config}'
            reshape = "" if tensor.item_shape else " reshape { }"
            lines.append(f"{kind} {{ {body} dims: {config_dims(tensor, spec)}{reshape} }}")
    return "\n".join(lines) + "\n"


def _markdown(gpu: Gpu, figures: list[Figure]) -> str:
    lines = [
        f"{gpu.name} (compute capability {gpu.compute_capability}, driver {gpu.driver}), "
        f"{date.today().isoformat()}:",
        "",
        "| model | engine | precision | built in s | MB | error | ms at batch 1 | ms at typical "
        f"| error served | served/s, {CALLERS} callers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {f.model} | {f.engine} | {f.precision} | {f.build_s:.1f} | {f.megabytes:.1f} "
        f"| {f.error:.1e} | {f.ms_batch_1:.2f} | {f.ms_typical:.2f} | {f.served_error:.1e} "
        f"| {f.served_per_s:.0f} |"
        for f in figures
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or MODELS))
