"""``--target`` goes in; where the built model is to run comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nosbuild.errors import RequestError
from nosbuild.plan.triton_releases import OLDEST, onnx_runtime_of

if TYPE_CHECKING:
    from nosbuild.plan.host import HostFacts
    from nosbuild.spec import ModelSpec

Kind = Literal["cpu", "gpu"]

_REMEDY = "Write cpu, gpu, triton:26.08, or two of them: gpu,triton:26.08."


@dataclass(frozen=True)
class Target:
    """Where a model is to run."""

    kind: Kind
    release: str = ""
    """Of NVIDIA's container, such as 26.08; empty for the embedded server."""

    @property
    def onnx_runtime(self) -> str:
        """The version that the release serves with; empty for the embedded server's own."""
        return onnx_runtime_of(self.release) if self.release else ""

    def __str__(self) -> str:
        """As ``--target`` takes it."""
        return f"{self.kind},triton:{self.release}" if self.release else self.kind


def target_of(text: str | None, spec: ModelSpec, host: HostFacts) -> Target:
    """Read ``--target``.

    Args:
        text: ``cpu``, ``gpu``, ``triton:26.08`` or a kind and a release; None for what the spec's
            instances and this host say.
        spec: ``instances: {kind: gpu}`` means a GPU.
        host: one with a GPU means a GPU, unless the spec says otherwise.

    Raises:
        RequestError: no such target, or a release too old for the files that a build writes.
    """
    kind: Kind = "gpu" if spec.instances.kind == "gpu" or host.gpus else "cpu"
    release = ""
    for part in text.replace(" ", "").split(",") if text is not None else ():
        if part == "cpu":
            kind = "cpu"
        elif part == "gpu":
            kind = "gpu"
        elif found := re.fullmatch(r"triton:(\d\d\.\d\d)", part):
            release = found[1]
        else:
            raise RequestError(f"--target: {part!r} is no target", _REMEDY)
    if release and release < OLDEST:
        raise RequestError(
            f"--target: Triton {release} has ONNX Runtime {onnx_runtime_of(release)}, which reads "
            "no ONNX file of IR version 10",
            f"Name a release from {OLDEST} on.",
        )
    return Target(kind, release)
