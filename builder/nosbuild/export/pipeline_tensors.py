"""The ends of a pipeline's values go in; the tensors that it takes and gives come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nosbuild.export.pipeline_axes import (
    ITSELF,
    Axes,
    AxisKey,
    End,
    Range,
    axis_names,
    common_range,
)
from nosbuild.spec.dims import DEFAULT_BATCH, DimRange
from nosbuild.spec.problems import Finding
from nosbuild.tensors import BATCH, TensorSpec

if TYPE_CHECKING:
    from nosbuild.export.pipeline import Callee
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class PipelineTensors:
    """What the pipeline takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: dict[str, str]
    """Axis -> ``min..typical..max``, where the models tell."""
    findings: list[Finding]
    """Sizes that the models do not have in common, or that the model.yaml asks for in vain."""


def described_tensors(
    spec: ModelSpec,
    models: Mapping[str, Callee],
    ends: Mapping[str, Sequence[End]],
    axes: Axes,
) -> PipelineTensors:
    """The pipeline's tensors, with the names and ranges of their axes.

    Args:
        spec: of the pipeline.
        models: that it calls.
        ends: of every value; the first is where it comes from.
        axes: with the ends of every value joined.
    """
    source = spec.source
    wanted = {value: value for value in source.inputs} | source.results
    shapes = {name: axes.shape(ends[value][0]) for name, value in wanted.items()}
    roots = [dim for shape in shapes.values() for dim in shape if not isinstance(dim, int)]
    by_step = {place: step.model for place, step in enumerate(source.steps)}
    names = axis_names(roots, axes, by_step)
    sizes = _Sizes(spec, models, axes)
    dims: dict[str, str] = {}
    for root, name in names.items():
        span = sizes.of(root, name)
        if span is not None:
            dims[name] = str(span)

    def tensor(name: str) -> TensorSpec:
        found = ends[wanted[name]]
        shape = tuple(dim if isinstance(dim, int) else names[dim] for dim in shapes[name])
        if all(not end.tensor.item_shape and _batched(end, axes) for end in found):
            shape = shape[:-1]  # one number an item, everywhere: Triton alone shows an axis
        return TensorSpec(name, found[0].tensor.dtype, shape, _limits(found))

    return PipelineTensors(
        tuple(tensor(name) for name in source.inputs),
        tuple(tensor(name) for name in source.results),
        dims,
        sizes.findings,
    )


def _batched(end: End, axes: Axes) -> bool:
    """Whether the end has a batch axis just where the pipeline has one."""
    return end.tensor.is_batched is axes.batched


def _limits(ends: Sequence[End]) -> tuple[float, float] | None:
    """The values that every taker allows, for random samples."""
    limits = [end.tensor.range for end in ends if end.tensor.range is not None]
    if not limits:
        return None
    low, high = max(low for low, _ in limits), min(high for _, high in limits)
    return (low, high) if low <= high else limits[0]


class _Sizes:
    """The range of each axis: what all models that have it take."""

    def __init__(self, spec: ModelSpec, models: Mapping[str, Callee], axes: Axes) -> None:
        self.spec = spec
        self.models = models
        self.axes = axes
        self.findings: list[Finding] = []

    def of(self, root: AxisKey, name: str) -> DimRange | None:
        """Its range; None where no model tells."""
        is_batch = self.axes.batched and root == (ITSELF, BATCH)
        ranges = list(self._batches() if is_batch else self._ranges(root))
        if not ranges:
            return None
        found = common_range(ranges)
        if not isinstance(found, DimRange):
            first, last = found
            self.findings.append(
                Finding(
                    ("source", "pipeline"),
                    f"{first.axis} is {first.span} and {last.axis} is {last.span}: they are one "
                    "axis, and have no size in common",
                    "let the ranges in the dims of both models overlap, and build them again",
                )
            )
            return None
        asked = self.spec.dims.get(name)
        if asked is not None and not (found.min <= asked.min and asked.max <= found.max):
            by = ", ".join(f"{one.axis} is {one.span}" for one in ranges)
            remedy = f"write {found}, or a part of it"
            self.findings.append(Finding(("dims", name), f"{asked}, but {by}", remedy))
        return found

    def _ranges(self, root: AxisKey) -> Iterator[Range]:
        for step, axis in self.axes.together(root):
            if step == ITSELF:
                continue
            model = self.models[self.spec.source.steps[step].model]
            if axis == BATCH:
                yield self._batch(model)
            elif axis in model.dims:
                yield Range(DimRange.parse(model.dims[axis]), f"{model.name}.{axis}")

    def _batches(self) -> Iterator[Range]:
        names = dict.fromkeys(step.model for step in self.spec.source.steps)
        return (self._batch(self.models[name]) for name in names)

    def _batch(self, model: Callee) -> Range:
        told = DimRange.parse(model.dims[BATCH]) if BATCH in model.dims else DEFAULT_BATCH
        most = model.max_batch_size
        return Range(DimRange(1, min(told.typical, most), most), f"{model.name}.{BATCH}")
