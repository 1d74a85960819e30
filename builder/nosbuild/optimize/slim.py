"""An exported ONNX file goes in; a shorter one, still standard ONNX, comes out."""

from __future__ import annotations

from pathlib import Path

from nosbuild.export.saving import MODEL_FILE, save, settle
from nosbuild.optimize.attention_plain import write_plainly
from nosbuild.optimize.graph_reading import op_types
from nosbuild.optimize.made import Made
from nosbuild.optimize.simplifying import simplified


def slim(source: Path, out: Path) -> Made:
    """Simplify the graph and write ``out/model.onnx``: any runtime or compiler still takes it.

    Returns:
        what changed; ``details["changed"]`` is False where the graph was as short before.

    Raises:
        Refused: the graph cannot be simplified.
    """
    import onnx_ir

    given = onnx_ir.load(source)
    model = simplified(source)
    plain = write_plainly(model)
    had, has = op_types(given), op_types(model)
    before, after = had.total(), has.total()
    changed = had != has
    settle(model, given.graph.name or "")
    save(model, out / MODEL_FILE)
    ways = f"; {plain} attention{'s' * (plain != 1)} written plainly" if plain else ""
    return Made(
        how=f"simplified: {before} → {after} nodes{ways}" if changed else "nothing to simplify",
        details={
            "changed": changed,
            "nodes_before": before,
            "nodes_after": after,
            "attentions": plain,
        },
    )
