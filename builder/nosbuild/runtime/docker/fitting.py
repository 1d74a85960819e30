"""Models and an image go in; those that the Triton in the image cannot load, and why, come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.packing import check_container
from nosbuild.errors import InputError, RepositoryError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.facts import (
    EngineFacts,
    numbers,
    read_facts,
)
from nosbuild.plan.onnx_limits import onnx_limits
from nosbuild.plan.triton_releases import onnx_runtime_of
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.repository.onnx_header import read_onnx_header
from nosbuild.repository.served import versions_in_config
from nosbuild.runtime.docker.images import Image
from nosbuild.runtime.environment import PACKAGES
from nosbuild.runtime.model_environments import DETAIL


def unfit_models(
    repository: Path, models: Sequence[str], image: Image, gpu: bool
) -> dict[str, str]:
    """Model -> why the image's Triton cannot load it, and how to build it so that it can.

    Args:
        repository: that is to be served.
        models: of it.
        image: of ours, or made from NVIDIA's; what it does not tell is not judged.
        gpu: the container is given GPUs.
    """
    judge = _Judge(image, gpu)
    reasons = {name: list(judge.reasons(ModelFolder(repository / name))) for name in models}
    return {name: "; ".join(dict.fromkeys(found)) for name, found in reasons.items() if found}


@dataclass(frozen=True)
class _Judge:
    image: Image
    gpu: bool

    def reasons(self, folder: ModelFolder) -> Iterator[str]:
        from nosbuild.repository.config import read_config

        try:
            config = read_config(folder.config)
        except RepositoryError:
            return  # Triton names what is wrong with it
        if self._needs_gpu(config) and not self.gpu:
            yield "it is built for a GPU: give the container one (--gpus all)" + self._rebuild(
                folder, "cpu"
            )
            return
        for number in versions_in_config(config, folder.versions()):
            version = folder.version(number)
            if config.backend == "onnxruntime":
                file = version / (config.default_model_filename or "model.onnx")
                yield from self._onnx(folder, file)
            elif config.backend == "tensorrt":
                file = version / (config.default_model_filename or "model.plan")
                yield from self._engine(folder, file)
            elif config.backend == "python":
                yield from self._environment(version)

    def _rebuild(self, folder: ModelFolder, kind: str = "") -> str:
        kind = kind or ("gpu" if self.gpu else "cpu")
        target = f"{kind},triton:{self.image.release}" if self.image.release else kind
        return f", or build it anew: nosbuild build {folder.path} --target {target}"

    def _needs_gpu(self, config: Any) -> bool:
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        groups = config.instance_group
        return (
            config.backend == "tensorrt"
            or bool(accelerators)
            or any(group.kind == group.KIND_GPU for group in groups)
        )

    def _onnx(self, folder: ModelFolder, file: Path) -> Iterator[str]:
        release = self.image.release
        # Our own image has the ONNX Runtime of the embedded server, whichever Python it took.
        runtime = onnx_runtime_of(release) if release else ""
        runtime = self.image.onnx_runtime or runtime or _oldest_of_ours()
        try:
            header = read_onnx_header(file)
        except RepositoryError as error:
            yield error.message
            return
        ir_version, opset = onnx_limits(runtime)
        for what, found, limit in (
            ("IR version", header.ir_version, ir_version),
            ("opset", header.opset, opset),
        ):
            if found > limit:
                yield (
                    f"{file.name} has ONNX {what} {found}, and the image's ONNX Runtime {runtime} "
                    f"reads no newer one than {limit}: take a newer image (--image)"
                    + self._rebuild(folder)
                )

    def _engine(self, folder: ModelFolder, file: Path) -> Iterator[str]:
        theirs = self.image.tensorrt
        try:
            facts = read_facts(file)
        except ValueError as error:
            yield str(error)
            return
        if facts is None or not self.image.release:
            return  # of another tool, or our own image, which installs what built the engine
        if facts.flavour != "tensorrt":
            yield (
                f"its engine is one of {facts.flavour}, which NVIDIA's Triton cannot load"
                + self._rebuild(folder)
            )
        elif theirs and not _loads(facts, theirs):
            yield (
                f"its engine was built by TensorRT {facts.version}, and the image has {theirs}"
                + self._rebuild(folder)
            )

    def _environment(self, version: Path) -> Iterator[str]:
        release = self.image.release
        try:
            value = read_lock(version / LOCK).details.get(DETAIL)
            locked = LockedEnvironment.from_json(value, str(version / LOCK)) if value else None
        except RepositoryError:
            return  # made by hand, or judged already
        if locked is None:
            return
        if not release:
            theirs = self.image.python
            if theirs and theirs != locked.python:
                yield (
                    f"its environment is for Python {locked.python}, the image has {theirs}: write "
                    f'python: "{theirs}" in its model.yaml, and build it anew'
                )
            return
        try:
            check_container(locked, release, where="its model.yaml")
        except InputError as error:
            yield f"{error.message}: {error.remedy}"


def _loads(facts: EngineFacts, installed: str) -> bool:
    """Engines are for one version, unless they were told to be for all of its major version."""
    built, here = numbers(facts.version), numbers(installed)
    if "VERSION_COMPATIBLE" in facts.flags:
        return built[0] == here[0] and here >= built
    # Packages have a patch more or less than the library: 10.13.3.9 and 10.13.3.9.post1.
    count = min(len(built), len(here))
    return built[:count] == here[:count]


def _oldest_of_ours() -> str:
    """Of the versions that the embedded server may have, the oldest."""
    pinned = [name for names in PACKAGES.values() for name in names]
    versions = [name.partition("==")[2] for name in pinned if name.startswith("onnxruntime==")]
    return min(versions, key=numbers)
