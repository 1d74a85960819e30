"""What was noted when an engine was built goes in; why this machine cannot run it comes out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .gpus import Gpu, NoGpu

FACTS_FILE = "model.engine.json"
"""Lies beside ``model.plan``."""

_NEED = {"none": "", "same_compute_capability": "", "ampere_plus": "8.0"}
_RTX_OLDEST = "8.0"
"""What TensorRT-RTX builds for unless it is told otherwise: 8.0, 8.6, 8.9, 12.0 and later."""


@dataclass(frozen=True)
class EngineFacts:
    """Where an engine comes from and where it runs."""

    flavour: str
    """The Python package that built it and alone can load it: tensorrt or tensorrt_rtx."""
    version: str
    """Of that package."""
    requirement: str
    """How pip installs the same: ``tensorrt-rtx-cu13==1.7.1.116``; empty where unknown."""
    compute_capability: str
    """Of the GPU that it was built on; empty where it was built without one."""
    gpu: str
    driver: str
    cuda: str
    flags: tuple[str, ...]
    """Builder flags that were set, as TensorRT names them."""
    hardware_compatibility: str
    """none, same_compute_capability or ampere_plus."""
    workspace_bytes: int
    """0 for TensorRT's own limit."""
    onnx_sha256: str
    profiles: tuple[dict[str, dict[str, list[int]]], ...]
    """For each profile: input -> {min, opt, max} shapes."""

    def as_data(self) -> dict[str, Any]:
        """JSON-able."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def facts_from(data: dict[str, Any]) -> EngineFacts:
    """Read them back; what a newer nosbuild added is left out.

    Raises:
        ValueError: it holds something else.
    """
    known = {field.name for field in fields(EngineFacts)}
    values = {name: value for name, value in data.items() if name in known}
    if missing := known - set(values):
        raise ValueError(f"lacks {', '.join(sorted(missing))}")
    for name in ("flags", "profiles"):
        values[name] = tuple(values[name])
    return EngineFacts(**values)


def read_facts(plan: Path) -> EngineFacts | None:
    """What lies beside the plan; None for a plan that another tool built.

    Raises:
        ValueError: the file is there, but not readable.
    """
    file = plan.with_name(FACTS_FILE)
    if not file.is_file():
        return None
    try:
        return facts_from(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} does not tell how the engine was built: {error}") from error


def refusal(
    facts: EngineFacts, found: tuple[Gpu, ...] | NoGpu, *, device: int = 0, installed: str = ""
) -> str:
    """Why the engine cannot run here; empty where nothing speaks against it.

    Args:
        facts: of the engine.
        found: the GPUs of this machine.
        device: which of them.
        installed: version of the engine's flavour here; empty where that is not to be judged.
    """
    if isinstance(found, NoGpu):
        return f"a TensorRT engine needs an NVIDIA GPU, and {found.reason}"
    if device >= len(found):
        return f"GPU {device} was asked for, and there are {len(found)} (0 to {len(found) - 1})"
    return _version_refusal(facts, installed) or _hardware_refusal(facts, found[device])


def _version_refusal(facts: EngineFacts, installed: str) -> str:
    if not installed or installed == facts.version:
        return ""
    if "VERSION_COMPATIBLE" in facts.flags and facts.flavour == "tensorrt":
        built, here = numbers(facts.version), numbers(installed)
        if built[0] == here[0] and here >= built:
            return ""
    remedy = f" (pip install {facts.requirement})" if facts.requirement else ""
    return (
        f"the engine was built by {facts.flavour} {facts.version}{remedy}, and {installed} is "
        "installed, which cannot load it"
    )


def _hardware_refusal(facts: EngineFacts, gpu: Gpu) -> str:
    here = f"{gpu.name} has {gpu.compute_capability}"
    if facts.flavour == "tensorrt_rtx":
        if numbers(gpu.compute_capability) < numbers(_RTX_OLDEST):
            return f"the engine needs compute capability {_RTX_OLDEST} or later, and {here}"
        return ""
    if least := _NEED.get(facts.hardware_compatibility, ""):
        if numbers(gpu.compute_capability) < numbers(least):
            return f"the engine needs compute capability {least} or later, and {here}"
        return ""
    if facts.compute_capability not in ("", gpu.compute_capability):
        return (
            f"the engine was built on {facts.gpu} for compute capability "
            f"{facts.compute_capability}, and {here}"
        )
    return ""


def numbers(version: str) -> tuple[int, ...]:
    """``10.13.3.9.post1`` -> (10, 13, 3, 9)."""
    parts = []
    for part in version.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts) or (0,)
