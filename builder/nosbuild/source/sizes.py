"""A spec's ranges go in; the axis sizes to export, check and prove at come out.

An exporter may freeze any axis at the size of its example, and treats 0 and 1 as constants, so
the example has no axis of size 1 if it can be helped, and no two axes of one size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.spec.dims import DimRange
    from nosbuild.tensors import TensorSpec


def axis_names(tensors: Iterable[TensorSpec]) -> list[str]:
    """Every varying axis, in order of first use."""
    return list(dict.fromkeys(axis for tensor in tensors for axis in tensor.axes.values()))


def example_sizes(spec: ModelSpec, inputs: Iterable[TensorSpec]) -> dict[str, int]:
    """Sizes for the exporter's example: small, at least 2, all different where possible."""
    sizes: dict[str, int] = {}
    for axis in axis_names(inputs):
        span = spec.dim_range(axis)
        start = max(span.min, min(2, span.max), _up(span, 2))
        sizes[axis] = _unused(span, start, set(sizes.values()))
    return sizes


def other_sizes(spec: ModelSpec, inputs: Iterable[TensorSpec]) -> dict[str, int]:
    """Sizes that differ from the example's on every axis that can vary, all different too."""
    inputs = tuple(inputs)
    example = example_sizes(spec, inputs)
    sizes: dict[str, int] = {}
    for axis in axis_names(inputs):
        span = spec.dim_range(axis)
        taken = set(sizes.values()) | {example[axis]}
        sizes[axis] = _unused(span, min(example[axis] + span.step, span.max), taken)
    return sizes


def sizes_to_check(spec: ModelSpec, inputs: Iterable[TensorSpec]) -> list[dict[str, int]]:
    """Sizes that an export must really take: all smallest, all typical, and each axis at its most.

    Not all at their most at once: that may be more than this machine's memory holds, and the
    proof runs real samples at the largest batch anyway.
    """
    inputs = tuple(inputs)
    axes = axis_names(inputs)
    smallest = {axis: spec.dim_range(axis).min for axis in axes}
    typical = {axis: spec.dim_range(axis).typical for axis in axes}
    largest = [{**smallest, axis: spec.dim_range(axis).max} for axis in axes]
    checks = [other_sizes(spec, inputs), smallest, typical, *largest]
    return [dict(sizes) for sizes in dict.fromkeys(tuple(check.items()) for check in checks)]


def _up(span: DimRange, value: int) -> int:
    return min(-(-value // span.step) * span.step, span.max)


def _unused(span: DimRange, start: int, taken: set[int]) -> int:
    """The first size from ``start`` on, wrapping round, that is not taken; ``start`` if all are."""
    upwards = range(start, span.max + 1, span.step)
    downwards = range(start - span.step, span.min - 1, -span.step)
    for size in (*upwards[:64], *downwards[:64]):
        if size not in taken:
            return int(size)
    return start
