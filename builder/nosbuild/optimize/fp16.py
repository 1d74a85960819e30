"""``model.onnx`` in float32 goes in; the same in float16, borders apart, comes out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nosbuild.optimize.half import FLOAT16, HalfType, check_keep, choose, nothing_to_convert
from nosbuild.optimize.half_conversion import convert
from nosbuild.optimize.made import Made
from nosbuild.optimize.observing import value_types
from nosbuild.optimize.source_graph import read, write


def fp16(source: Path, out: Path, keep: Collection[str] = ()) -> Made:
    """Write ``out/model.onnx``; inputs and outputs keep their types.

    Args:
        source: the fp32 model.
        out: the folder to write into.
        keep: names of nodes that go on computing in fp32.

    Raises:
        Refused: no node of the model can compute in float16.
        InputError: ``keep`` names a node that is not there.
    """
    return in_half(source, out, keep, FLOAT16)


def in_half(source: Path, out: Path, keep: Collection[str], half: HalfType) -> Made:
    """The same for any 16-bit type."""
    model = read(source)
    check_keep(keep, model)
    types = value_types(model)
    choice = choose(model, half, types)
    nodes = [name for name in choice.half if name not in set(keep)]
    if not nodes or choice.light_only:
        raise nothing_to_convert(half, choice)
    write(convert(model, half, types, nodes), out)
    kept = [name for name in choice.half if name in set(keep)]
    total = len(choice.half) + len(choice.too_large) + len(choice.too_small) + len(choice.fixed)
    parts = [f"{half.name}, {len(nodes)} of {total} nodes"]
    if kept:
        parts.append(f"{len(kept)} kept in fp32")
    if choice.too_large:
        parts.append(
            f"{len(choice.too_large)} in fp32 for constants beyond {half.largest:g} "
            f"({_some(choice.too_large)})"
        )
    if choice.too_small:
        parts.append(
            f"{len(choice.too_small)} in fp32 for constants that would vanish "
            f"({_some(choice.too_small)})"
        )
    return Made(
        how="; ".join(parts),
        details={
            "precision": half.name,
            "converted": len(nodes),
            "kept": sorted(kept),
            "too_large": list(choice.too_large),
            "too_small": list(choice.too_small),
            "no_16_bit_form": list(choice.fixed),
        },
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
