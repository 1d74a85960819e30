"""A model and a way to convert it go in; the names of the nodes it would change come out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from nosbuild.optimize.half import BFLOAT16, FLOAT16, choose
from nosbuild.optimize.int8_dynamic import quantisable
from nosbuild.optimize.observing import value_types
from nosbuild.optimize.source_graph import lift_constants, read
from nosbuild.optimize.weighted import weighted_nodes

Conversion = Literal["fp16", "bf16", "int8_dynamic", "int8_static"]
CONVERSIONS: tuple[Conversion, ...] = get_args(Conversion)


def candidates(source: Path, conversion: Conversion) -> list[str]:
    """In the graph's order; each may be given as ``keep`` to that conversion.

    A node without a name in the file gets one made of its operator and place, always the same.
    """
    model = read(source)
    if conversion in ("fp16", "bf16"):
        half = FLOAT16 if conversion == "fp16" else BFLOAT16
        return list(choose(model, half, value_types(model)).half)
    lift_constants(model)
    if conversion == "int8_dynamic":
        return quantisable(model)
    return [node.name for node in weighted_nodes(model)]
