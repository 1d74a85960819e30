"""``batching``, ``instances``, ``version_policy`` and how long a model may take to answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    field_validator,
    model_validator,
)

from nosbuild.spec.problems import Finding, did_you_mean, rejected
from nosbuild.spec.yaml_source import type_name

Natural = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1)]


class Section(BaseModel):
    """A mapping with fixed keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Queue(Section):
    """Triton's ``ModelQueuePolicy``."""

    max_size: Natural = 0
    """Requests that may wait; 0 for no limit."""
    timeout_us: Natural = 0
    """How long a request may wait; 0 for no limit."""
    action: Literal["reject", "delay"] = "reject"
    """What happens to a request that waited too long."""
    allow_timeout_override: StrictBool = False
    """Whether a request may shorten its own timeout."""


class Batching(Section):
    """Triton's ``ModelDynamicBatching``."""

    enabled: StrictBool = True
    """``batching: false`` in short."""
    max_delay_us: Natural = 0
    """How long a request may wait for others to join it; a lone client pays it in full."""
    preferred: tuple[Positive, ...] = ()
    """Batch sizes to wait for."""
    preserve_ordering: StrictBool = False
    """Responses leave in the order of the requests."""
    queue: Queue | None = None
    priority_levels: Natural = 0
    """Number of priorities, 1 the highest; 0 for none."""
    default_priority: Natural = 0
    """Priority of a request that names none."""

    @model_validator(mode="after")
    def _priorities(self) -> Batching:
        levels, default = self.priority_levels, self.default_priority
        key = ("batching", "default_priority")
        if levels == 0 and default:
            found, remedy = f"{default}, but there are no priority levels", "add priority_levels"
            raise rejected([Finding(key, found, remedy)])
        if levels and not 1 <= default <= levels:
            found, remedy = f"{default} is no priority level", f"write one of 1 to {levels}"
            raise rejected([Finding(key, found, remedy, line_of=("batching", "priority_levels"))])
        return self


def batching_from_short(value: object) -> object:
    """``false`` and ``true`` -> the mapping they stand for."""
    if isinstance(value, bool):
        return {"enabled": value}
    if value == "auto":
        found, remedy = "'auto' is not supported by this version yet", "leave batching out"
        raise rejected([Finding(("batching",), found, remedy)])
    return value


def preferred_findings(batching: Batching | None, max_batch_size: int) -> Iterator[Finding]:
    """Preferred sizes that no batch can have."""
    for position, size in enumerate(batching.preferred if batching else ()):
        key = ("batching", "preferred", position)
        if not max_batch_size:
            remedy = "remove it, or declare the tensors with batch as the first axis"
            yield Finding(key, f"{size}, but the model has no batch axis", remedy)
        elif size > max_batch_size:
            remedy = f"write at most {max_batch_size}, or raise dims.batch"
            yield Finding(key, f"{size} is above the largest batch, {max_batch_size}", remedy)


def _count(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    remedy = "write auto, or a number of at least 1"
    raise rejected(
        [Finding(("instances", "count"), f"{value!r} is no number of instances", remedy)]
    )


class Instances(Section):
    """Triton's ``ModelInstanceGroup``."""

    count: Annotated[Positive | Literal["auto"], BeforeValidator(_count)] = "auto"
    """Copies of the model; ``auto`` lets the build choose for the machine."""
    kind: Literal["auto", "cpu", "gpu"] = "auto"
    gpus: tuple[Natural, ...] = ()
    """Ids of the GPUs to use; empty for all."""
    threads: Positive | None = None
    """CPU threads of each instance; None lets the build choose."""

    @field_validator("gpus")
    @classmethod
    def _distinct(cls, gpus: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(gpus)) < len(gpus):
            remedy = f"write {sorted(set(gpus))}; `count` sets the instances on each"
            raise rejected([Finding(("instances", "gpus"), "names a GPU twice", remedy)])
        return gpus

    @model_validator(mode="after")
    def _gpus_need_gpu(self) -> Instances:
        if self.gpus and self.kind == "cpu":
            remedy = "remove it, or write kind: gpu"
            raise rejected([Finding(("instances", "gpus"), "does not go with kind: cpu", remedy)])
        return self


def instances_from_short(value: object) -> object:
    """``auto`` and a number -> the mapping they stand for."""
    if isinstance(value, dict):
        return value
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return {"count": value}
    remedy = "write auto, a number of at least 1, or {count: ..., kind: cpu}"
    raise rejected([Finding(("instances",), f"{value!r} is no number of instances", remedy)])


_SHORTEST, _LONGEST = 0.1, 86400.0
"""Seconds: a worker's threads are not always on time, and what takes a day is no request."""


def parse_max_execution_seconds(value: object) -> float | list[Finding]:
    """Read the key, or say what is wrong with it."""
    key = ("max_execution_seconds",)
    remedy = f"write a number of seconds from {_SHORTEST:g} to {_LONGEST:g}, e.g. 30"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [Finding(key, f"{value!r} is no number of seconds", remedy)]
    if not _SHORTEST <= value <= _LONGEST:
        return [Finding(key, f"{value:g} is out of range", remedy)]
    return float(value)


MAX_EXECUTION_SECONDS_SCHEMA = {"type": "number", "minimum": _SHORTEST, "maximum": _LONGEST}


@dataclass(frozen=True)
class VersionPolicy:
    """Triton's ``ModelVersionPolicy``: which versions are served.

    ``specific`` means those alone, as in Triton: a build still makes its new version, which stands
    beside them until it is named here. That is how to go back, and how to hold a version.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    latest: int = 1
    """How many of the newest versions; where kind is ``latest``."""
    versions: tuple[int, ...] = ()
    """Which versions; where kind is ``specific``."""

    def dump(self) -> str | dict[str, Any]:
        """The key as a spec writes it."""
        if self.kind == "all":
            return "all"
        if self.kind == "specific":
            return {"specific": list(self.versions)}
        return "latest" if self.latest == 1 else {"latest": self.latest}


_POLICIES = ("latest", "all", "specific")
_POLICY_REMEDY = "write latest, all, {latest: 2}, or {specific: [1, 3]}"


def parse_version_policy(value: object) -> VersionPolicy | list[Finding]:
    """Read the key, or say what is wrong with it."""
    key = ("version_policy",)
    if value == "latest":
        return VersionPolicy()
    if value == "all":
        return VersionPolicy("all")
    if isinstance(value, dict) and len(value) == 1:
        [(kind, content)] = value.items()
        if kind == "latest" and _is_positive(content):
            return VersionPolicy("latest", content)
        if kind == "specific" and _are_positive(content):
            return VersionPolicy("specific", versions=tuple(content))
        if kind in ("latest", "specific"):
            right = "a number of at least 1" if kind == "latest" else "a list of version numbers"
            return [Finding((*key, kind), f"{content!r} is not {right}", _POLICY_REMEDY)]
        return [
            Finding((*key, kind), "unknown policy", did_you_mean(kind, _POLICIES, _POLICY_REMEDY))
        ]
    if isinstance(value, str):
        remedy = did_you_mean(value, ("latest", "all"), _POLICY_REMEDY)
        return [Finding(key, f"unknown policy {value!r}", remedy)]
    return [Finding(key, f"{value!r} is {type_name(value)}, not a policy", _POLICY_REMEDY)]


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_positive(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_positive, value))


VERSION_POLICY_SCHEMA: dict[str, Any] = {
    "description": "Which versions Triton serves.",
    "oneOf": [
        {"enum": ["latest", "all"]},
        {
            "type": "object",
            "properties": {"latest": {"type": "integer", "minimum": 1}},
            "required": ["latest"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "specific": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 1,
                }
            },
            "required": ["specific"],
            "additionalProperties": False,
        },
    ],
}
