"""The models to serve and this machine's GPUs go in; what their backends need besides comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.errors import RepositoryError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.facts import FACTS_FILE
from nosbuild.plan.gpus import NoGpu, gpus

ONNX_RUNTIME_GPU = {
    (3, 10): "onnxruntime-gpu[cuda,cudnn]==1.23.2",
    (3, 11): "onnxruntime-gpu[cuda,cudnn]==1.31.1",
    (3, 12): "onnxruntime-gpu[cuda,cudnn]==1.31.1",
}
"""ONNX Runtime with CUDA, per minor version of Python, in place of the one without."""


@dataclass(frozen=True)
class GpuNeeds:
    """What is installed for the server beyond what a CPU needs; nothing where there is no GPU."""

    cuda: bool = False
    """ONNX Runtime runs models on the GPU."""
    tensorrt: str = ""
    """The very TensorRT that built the engines, as pip takes it; they load with no other."""

    def packages(self, minor: tuple[int, int], base: Sequence[str]) -> tuple[str, ...]:
        """What the server's Python needs, in place of ``base``."""
        chosen = list(base)
        if self.cuda:
            # Both packages write the same files: only one may be there.
            chosen = [name for name in chosen if not name.startswith("onnxruntime==")]
            chosen.append(ONNX_RUNTIME_GPU[minor])
        return (*chosen, self.tensorrt) if self.tensorrt else tuple(chosen)


def gpu_needs(repository: Path, models: Sequence[str]) -> GpuNeeds:
    """Look at the models' settings and engines.

    Raises:
        RepositoryError: engines of two TensorRTs, of which one process can hold only one.
    """
    if isinstance(gpus(), NoGpu):
        return GpuNeeds()  # models that need one are refused by their backends, with the reason
    return needs_of(repository, models)


def needs_of(repository: Path, models: Sequence[str]) -> GpuNeeds:
    """The same for a machine with a GPU."""
    from nosbuild.repository.config import read_config  # protobuf is slow to import

    cuda = False
    wanted: dict[str, str] = {}
    for name in models:
        try:
            config = read_config(repository / name / "config.pbtxt")
        except RepositoryError:
            continue  # Triton names what is wrong with it when it is told to load it
        if config.backend == "onnxruntime":
            cuda = cuda or _may_use_gpu(config)
        elif config.backend == "tensorrt":
            wanted |= dict.fromkeys(_requirements(repository / name), name)
    if len(wanted) > 1:
        lines = [f"{model} was built by {requirement}" for requirement, model in wanted.items()]
        raise RepositoryError(
            "these engines cannot be served by one server: " + "; ".join(lines),
            "Build them again with one TensorRT, or serve them apart (--model).",
        )
    return GpuNeeds(cuda, next(iter(wanted), ""))


def _may_use_gpu(config: Any) -> bool:
    """Triton puts a model on the GPU that is there, unless it says KIND_CPU."""
    groups = config.instance_group
    return not groups or any(group.kind != group.KIND_CPU for group in groups)


def _requirements(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob(f"*/{FACTS_FILE}")):
        try:
            requirement = json.loads(file.read_text(encoding="utf-8"))["requirement"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the backend says what is wrong with it
        if requirement:
            yield requirement
