"""An optimisation's name and a model go in; how to convert it but for some nodes comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.export.saving import MODEL_FILE
from nosbuild.steps.rescuing import Conversion

if TYPE_CHECKING:
    from nosbuild.optimize.calibration import Method
    from nosbuild.optimize.made import Made
    from nosbuild.source.loaded import Arrays


RANGES_TO_RESCUE: Method = "percentile"
"""Leaves the fewest nodes to keep: of EfficientNet-Lite0's 50 nodes 12, with minmax 17."""


def conversion_of(
    optimisation: str, source: Path, items: Sequence[Arrays], batched: bool
) -> Conversion:
    """The conversion of a step.

    Args:
        optimisation: a key of ``optimizing.MAKERS`` whose results can be rescued.
        source: the ONNX file to convert.
        items: real inputs, to calibrate on.
        batched: the model has a batch axis, which the items lack.

    Raises:
        Refused: there is nothing to convert.
    """
    if optimisation == "int8-static":
        return _static(source, items, batched)
    if optimisation == "int8-dynamic":
        return _dynamic(source, items, batched)
    return _fp16(source)


def _fp16(source: Path) -> Conversion:
    from nosbuild.optimize.candidates import candidates
    from nosbuild.optimize.emulating import emulate
    from nosbuild.optimize.fp16 import fp16
    from nosbuild.optimize.half import FLOAT16

    def rounded(out: Path, keep: frozenset[str]) -> None:
        emulate(source, out, FLOAT16, keep).replace(out / MODEL_FILE)

    write = partial(_keeping, partial(fp16, source))
    return Conversion(candidates(source, "fp16"), rounded, write)


def _dynamic(source: Path, items: Sequence[Arrays], batched: bool) -> Conversion:
    from nosbuild.optimize.candidates import candidates
    from nosbuild.optimize.int8_dynamic import int8_dynamic

    rough: Callable[..., Made] = partial(int8_dynamic, source)
    careful: Callable[..., Made] = partial(rough, items=items, batched=batched)
    return Conversion(
        candidates(source, "int8_dynamic"), partial(_keeping, rough), partial(_keeping, careful)
    )


def _static(source: Path, items: Sequence[Arrays], batched: bool) -> Conversion:
    from nosbuild.optimize.int8_static import Int8Static

    ready = Int8Static(source, items, batched)

    def write(out: Path, keep: frozenset[str]) -> Made:
        return ready.write(out, RANGES_TO_RESCUE, keep)

    return Conversion(ready.names, write, write, ready.costs)


def _keeping(convert: Callable[..., Made], out: Path, keep: frozenset[str]) -> Made:
    return convert(out, keep=keep)
