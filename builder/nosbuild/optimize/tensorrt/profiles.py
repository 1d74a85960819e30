"""A spec's dims and batching go in; TensorRT's optimisation profiles come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nosbuild.errors import InputError, InternalError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.shapes import ShapeRange
from nosbuild.tensors import BATCH

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class OptimisationProfile:
    """For each input the shapes that one set of kernels serves.

    Raises:
        InputError: shapes that do not rise from min over opt to max.
    """

    shapes: Mapping[str, ShapeRange]

    def __post_init__(self) -> None:
        for name, bounds in self.shapes.items():
            if not len(bounds.min) == len(bounds.opt) == len(bounds.max):
                raise InputError(
                    f"the TensorRT profile of input {name!r} has {len(bounds.min)} axes in min, "
                    f"{len(bounds.opt)} in opt and {len(bounds.max)} in max",
                    "Give all three for the same axes.",
                )
            rows = enumerate(zip(bounds.min, bounds.opt, bounds.max, strict=True))
            for axis, (low, typical, high) in rows:
                if not 1 <= low <= typical <= high:
                    rising = "..".join(map(str, sorted(max(n, 1) for n in (low, typical, high))))
                    raise InputError(
                        f"the TensorRT profile of input {name!r} does not rise on axis {axis}: "
                        f"min {low}, opt {typical}, max {high}",
                        f"Write them as {rising} (dims in the model.yaml).",
                    )

    def as_data(self) -> dict[str, dict[str, list[int]]]:
        """JSON-able."""
        return {
            name: {"min": list(r.min), "opt": list(r.opt), "max": list(r.max)}
            for name, r in self.shapes.items()
        }


def profiles_from(spec: ModelSpec) -> tuple[OptimisationProfile, ...]:
    """One profile over all of ``dims``, and one for each preferred batch size.

    Triton waits for preferred sizes to fill, so they are what mostly runs: an engine has kernels
    of its own for each.

    Raises:
        InternalError: the spec's tensors are not known yet.
    """
    if spec.input_tensors is None:
        raise InternalError(f"the tensors of {spec.name} are not known yet")
    typical = spec.dim_range(BATCH).typical if spec.is_batched else 0
    preferred = spec.batching.preferred if spec.batching and spec.is_batched else ()
    batches = [None, *(size for size in dict.fromkeys(preferred) if size != typical)]
    return tuple(OptimisationProfile(_shapes(spec, batch)) for batch in batches)


def _shapes(spec: ModelSpec, batch: int | None) -> dict[str, ShapeRange]:
    shapes = {}
    for tensor in spec.input_tensors or ():
        rows: list[tuple[int, int, int]] = []
        for dim in tensor.shape:
            if isinstance(dim, int):
                rows.append((dim, dim, dim))
            elif dim == BATCH and batch is not None:
                rows.append((batch, batch, batch))
            else:
                span = spec.dim_range(dim)
                rows.append((span.min, span.typical, span.max))
        low, typical, high = (tuple(row[at] for row in rows) for at in range(3))
        shapes[tensor.name] = ShapeRange(low, typical, high)
    return shapes
