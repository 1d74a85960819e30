"""``model.onnx`` in float32 goes in; the same with 8-bit weights in its matrix products comes out.

The values that the weights are multiplied with get their 8-bit range at every run, row by row of
the batch together; no sample is needed for that. Convolutions stay: without known ranges ONNX
Runtime computes them several times slower than in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import onnx

from nosbuild.errors import Refused
from nosbuild.optimize.half import check_keep
from nosbuild.optimize.made import Made
from nosbuild.optimize.observing import Item
from nosbuild.optimize.quiet import quiet
from nosbuild.optimize.rounding import rounded_weights
from nosbuild.optimize.source_graph import (
    constants,
    drop_unused_constants,
    lift_constants,
    read,
    set_constants,
    write,
)
from nosbuild.optimize.weighted import weighted_nodes

PRODUCTS = ("MatMul", "Gemm")
INTEGER = frozenset({"MatMulInteger", "DynamicQuantizeMatMul", "QAttention", "QGemm"})
"""What ONNX Runtime makes of them."""
FUSED = frozenset({"Attention"})
"""ONNX Runtime's own operators with weights inside that its quantiser knows."""


def int8_dynamic(
    source: Path,
    out: Path,
    keep: Collection[str] = (),
    items: Sequence[Item] = (),
    batched: bool = True,
) -> Made:
    """Write ``out/model.onnx``; inputs and outputs keep their types.

    Args:
        source: the fp32 model; ONNX Runtime's own fused operators may be in it.
        out: the folder to write into.
        keep: names of nodes that go on computing in fp32.
        items: real inputs, by which weights are rounded with care; without them to the nearest.
        batched: the model has a batch axis, which the items lack.

    Raises:
        Refused: there is no matrix product with constant weights, or all are kept.
        SampleError: an item does not fit the model.
        InputError: ``keep`` names a node that is not there.
    """
    model = read(source)
    check_keep(keep, model)
    lift_constants(model)
    names = quantisable(model)
    chosen = [name for name in names if name not in set(keep)]
    if not chosen:
        why = "every node that could be is kept in fp32" if names else _NOTHING
        raise Refused(f"int8 dynamic: nothing to quantise: {why}", "Publish it in fp32.")
    if items:
        nodes = [node for node in weighted_nodes(model, PRODUCTS) if node.name in set(chosen)]
        set_constants(model, rounded_weights(model, nodes, items, batched))
    quantised = _quantised(model, chosen)
    done = sum(node.op_type in INTEGER for node in quantised.graph.node)
    if not done:
        raise Refused(
            f"int8 dynamic: ONNX Runtime quantises none of {len(chosen)} matrix products",
            "Publish it in fp32.",
        )
    write(quantised, out)
    kept = [name for name in names if name in set(keep)]
    parts = [f"8-bit weights per channel, {done} of {len(names)} matrix products"]
    if items:
        parts.append(f"rounded by {len(items)} samples")
    if kept:
        parts.append(f"{len(kept)} kept in fp32")
    return Made(
        how="; ".join(parts),
        details={
            "precision": "int8",
            "format": "dynamic",
            "rounding_samples": len(items),
            "converted": done,
            "kept": kept,
        },
    )


_NOTHING = "no MatMul, Gemm or Attention with constant weights"


def quantisable(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are quantised, in the graph's order."""
    plain = {node.name for node in weighted_nodes(model, PRODUCTS)}
    weights = constants(model)
    found = []
    for node in model.graph.node:
        fused = node.op_type in FUSED and node.domain == "com.microsoft"
        if node.name in plain or (fused and node.input[1] in weights):
            found.append(node.name)
    return found


def _quantised(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    chosen = {node.name: node.op_type for node in model.graph.node if node.name in set(names)}
    # The quantiser first makes a MatMul and an Add of a Gemm.
    products = [f"{name}_MatMul" for name, kind in chosen.items() if kind == "Gemm"]
    types = {*chosen.values(), *(["MatMul"] if products else [])}
    before = {row.name for row in model.graph.value_info}
    with quiet():
        quantiser = ONNXQuantizer(
            model,
            True,  # per channel
            False,  # all 8 bits
            QuantizationMode.IntegerOps,
            False,  # ranges at every run
            QuantType.QInt8,
            QuantType.QUInt8,
            None,
            [*names, *products],
            [],
            sorted(types),
            {"MatMulConstBOnly": True},
        )
        quantiser.quantize_model()
    made: onnx.ModelProto = quantiser.model.model
    _drop_shapes(made, before)
    drop_unused_constants(made)
    return made


def _drop_shapes(model: onnx.ModelProto, keep: set[str]) -> None:
    kept = [row for row in model.graph.value_info if row.name in keep]
    fresh = [onnx.ValueInfoProto.FromString(row.SerializeToString()) for row in kept]
    del model.graph.value_info[:]
    model.graph.value_info.extend(fresh)
