"""An exported ONNX file goes in; one with ONNX Runtime's own operators comes out."""

from __future__ import annotations

from pathlib import Path

from nosbuild.export.saving import MODEL_FILE, save, settle
from nosbuild.optimize.attention_fused import fuse_attentions
from nosbuild.optimize.attention_plain import write_plainly
from nosbuild.optimize.channel_blocks import keep_blocks
from nosbuild.optimize.graph_reading import op_types
from nosbuild.optimize.made import Made
from nosbuild.optimize.residual_sums import part_residual_sums
from nosbuild.optimize.simplifying import simplified


def fuse(source: Path, out: Path) -> Made:
    """Fuse for ONNX Runtime on a CPU and write ``out/model.onnx``; no other runtime takes it.

    Done here is what ONNX Runtime does not do by itself while loading; it fuses
    LayerNormalization, Gelu and its bias, and scales of products at every load.

    Returns:
        what was fused; ``details["changed"]`` is False where nothing was.

    Raises:
        Refused: the graph cannot be simplified.
    """
    import onnx_ir

    given = onnx_ir.load(source)
    model = simplified(source)
    attentions = fuse_attentions(model)
    plain = write_plainly(model)
    sums = part_residual_sums(model)
    biases = keep_blocks(model)
    nodes_before, nodes_after = op_types(given).total(), op_types(model).total()
    settle(model, given.graph.name or "")
    save(model, out / MODEL_FILE)
    done = [f"{attentions} attention{'s' * (attentions != 1)} fused"] if attentions else []
    done += [f"{plain} written plainly"] if plain else []
    done += [f"{sums} residual sums parted from LayerNormalization"] if sums else []
    done += [f"{biases} bias{'es' * (biases != 1)} added by convolutions"] if biases else []
    return Made(
        how=f"for ONNX Runtime: {', '.join(done)}; {nodes_before} → {nodes_after} nodes"
        if done
        else "nothing to fuse",
        details={
            "changed": bool(done),
            "MultiHeadAttention": attentions,
            "plain_attentions": plain,
            "residual_sums": sums,
            "biases": biases,
            "nodes_before": nodes_before,
            "nodes_after": nodes_after,
        },
    )
