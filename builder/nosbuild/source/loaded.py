"""What every loaded source can do, whatever library it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from nosbuild.tensors import TensorSpec

    Arrays = dict[str, np.ndarray]


class LoadedSource(Protocol):
    """The user's own model: the reference that every variant is proven against."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    default_dims: dict[str, str]
    """Axis -> ``min..typical..max`` that the model itself tells, for a spec that does not."""

    def run(self, inputs: Arrays) -> Arrays:
        """Declared inputs in, declared outputs out; shapes include the batch axis."""
        ...

    def run_precise(self, inputs: Arrays) -> Arrays | None:
        """The same in float64, to learn the model's own rounding noise; None if it cannot."""
        ...

    def use_threads(self, count: int) -> None:
        """Run on that many processors from now on, where the library lets us choose."""
        ...
