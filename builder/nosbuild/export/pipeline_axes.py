"""The ends of a pipeline's values go in; axes that are one, with their size or range, come out.

Two models that pass a tensor on give its axes two names: those are one axis. It has the size that
either of them fixes, and of its range what all of them take.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nosbuild.spec.dims import DimRange
from nosbuild.spec.problems import Finding
from nosbuild.spec.yaml_source import KeyPath
from nosbuild.tensors import BATCH, Dim, TensorSpec

ITSELF = -1
"""Step of an end that is the pipeline's own declaration."""

AxisKey = tuple[int, str]
"""Step and its model's name of an axis."""


@dataclass(frozen=True)
class End:
    """A tensor of a step's model that a value goes into, or comes out of."""

    step: int
    model: str
    tensor: TensorSpec
    key: KeyPath
    """Where the model.yaml maps it."""
    makes: bool = False
    """True for the output that the value comes from."""

    @property
    def carried(self) -> tuple[Dim, ...]:
        """The shape in which Triton carries it: what has no axes has one of size 1."""
        batch = self.tensor.shape[:1] if self.tensor.is_batched else ()
        return (*batch, *(self.tensor.item_shape or (1,)))

    def describe(self) -> str:
        """``minilm.input_ids takes int64[batch, seq]``."""
        verb = "is" if self.makes or self.step == ITSELF else "takes"
        return f"{self.model}.{self.tensor.name} {verb} {self.tensor.declaration}"


def both(end: End, other: End) -> str:
    """Both ends in words, the one that makes the value first."""
    return f"{end.describe()}, {other.describe()}"


@dataclass
class Axes:
    """Which axes are one (a union-find), and what is known of each."""

    batched: bool
    """Triton batches the pipeline: every model's batch axis is its."""
    findings: list[Finding] = field(default_factory=list)
    _parents: dict[AxisKey, AxisKey] = field(default_factory=dict)
    _fixed: dict[AxisKey, tuple[int, End]] = field(default_factory=dict)

    def join(self, end: End, other: End) -> None:
        """Make one of the axes of both ends, whose values are the same tensor."""
        if end.tensor.dtype != other.tensor.dtype:
            remedy = "let both have one dtype, or put a model between them that converts"
            self.findings.append(Finding(other.key, both(end, other), remedy))
            return
        if len(end.carried) != len(other.carried):
            axes = f"{len(end.carried)} axes cannot be {len(other.carried)}"
            self._mismatch(end, other, f"{axes}, the batch axis counted")
            return
        for ours, theirs in zip(end.carried, other.carried, strict=True):
            if isinstance(ours, int) and isinstance(theirs, int):
                if ours != theirs:
                    self._mismatch(end, other, f"{ours} cannot be {theirs}")
            elif isinstance(ours, int):
                self._fix(self._key(other, theirs), ours, end, other)
            elif isinstance(theirs, int):
                self._fix(self._key(end, ours), theirs, other, other)
            else:
                self._unite(self._key(end, ours), self._key(other, theirs), other)

    def shape(self, end: End) -> tuple[int | AxisKey, ...]:
        """As Triton carries the end's tensor: each axis by its size, or by what it is one with."""
        found: list[int | AxisKey] = []
        for dim in end.carried:
            if isinstance(dim, int):
                found.append(dim)
            else:
                root = self._root(self._key(end, dim))
                found.append(self._fixed[root][0] if root in self._fixed else root)
        return tuple(found)

    def together(self, root: AxisKey) -> list[AxisKey]:
        """Every axis that is one with it, itself among them."""
        return sorted({key for key in (*self._parents, root) if self._root(key) == root})

    def _key(self, end: End, dim: Dim) -> AxisKey:
        return (ITSELF, BATCH) if self.batched and dim == BATCH else (end.step, str(dim))

    def _root(self, key: AxisKey) -> AxisKey:
        while self._parents.setdefault(key, key) != key:
            key = self._parents[key]
        return key

    def _unite(self, key: AxisKey, other: AxisKey, at: End) -> None:
        keep, drop = sorted((self._root(key), self._root(other)))
        if keep == drop:
            return
        self._parents[drop] = keep
        if drop in self._fixed:
            size, by = self._fixed.pop(drop)
            self._fix(keep, size, by, at)

    def _fix(self, key: AxisKey, size: int, by: End, at: End) -> None:
        root = self._root(key)
        known, first = self._fixed.setdefault(root, (size, by))
        if known != size:
            why = f"they are one axis of {at.model}, which cannot be {known} and {size}"
            self._mismatch(first, by, why, at)

    def _mismatch(self, end: End, other: End, why: str, at: End | None = None) -> None:
        remedy = "let both have one shape, or put a model between them that gives the other one"
        found = f"{both(end, other)}: {why}"
        self.findings.append(Finding((at or other).key, found, remedy))


@dataclass(frozen=True)
class Range:
    """What a model's axis may be, and whose it is."""

    span: DimRange
    axis: str
    """``minilm.seq``, for people."""


def common_range(ranges: Sequence[Range]) -> DimRange | tuple[Range, Range]:
    """The sizes that all of them take, or two that have none in common."""
    found = ranges[0].span
    for last in ranges[1:]:
        step = math.lcm(found.step, last.span.step)
        low = _up(max(found.min, last.span.min), step)
        high = min(found.max, last.span.max) // step * step
        if low > high:
            return ranges[0], last
        typical = min(max(_up(min(found.typical, last.span.typical), step), low), high)
        found = DimRange(low, typical, high, step)
    return found


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def axis_names(
    roots: Iterable[AxisKey], axes: Axes, models: Mapping[int, str]
) -> dict[AxisKey, str]:
    """A name for each axis, no two alike: the model's own where no other has it.

    Args:
        roots: the axes to name.
        axes: which are one.
        models: step -> name of its model.
    """
    names: dict[AxisKey, str] = {}
    for root in dict.fromkeys(roots):
        step, name = axes.together(root)[0]  # the pipeline's own comes first
        own = re.sub(r"\W", "_", f"{models.get(step, 'pipeline')}_{name}")
        is_batch = axes.batched and (step, name) == (ITSELF, BATCH)
        wanted = name if is_batch or name != BATCH else own
        for candidate in (wanted, own, *(f"{own}_{count}" for count in range(2, 100))):
            if candidate not in names.values():
                names[root] = candidate
                break
    return names
