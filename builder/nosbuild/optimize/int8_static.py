"""``model.onnx`` in float32 and samples go in; the same with 8-bit weights and values comes out.

The format is QDQ: QuantizeLinear and DequantizeLinear around float operators, which ONNX Runtime
and TensorRT each fuse into their own 8-bit kernels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from nosbuild.errors import Refused
from nosbuild.export.saving import MODEL_FILE
from nosbuild.optimize.calibration import METHODS, Method, observe, value_range
from nosbuild.optimize.closeness import answers, distance
from nosbuild.optimize.equalising import equalised_weights
from nosbuild.optimize.half import check_keep
from nosbuild.optimize.made import Made
from nosbuild.optimize.observing import Item
from nosbuild.optimize.quantised_region import FLOAT_ANSWERS, may_be_quantised, touched
from nosbuild.optimize.quiet import quiet
from nosbuild.optimize.rounding import rounded_weights
from nosbuild.optimize.source_graph import (
    drop_unused_constants,
    lift_constants,
    opset_of,
    read,
    set_constants,
    write,
)
from nosbuild.optimize.staying_float import let_float_stay
from nosbuild.optimize.weighted import Weighted, weighted_nodes

LEAST_OPSET = 13
"""From here on QuantizeLinear takes a scale per channel."""
COMPARED = 16
"""Items on which calibration methods are compared."""


class Int8Static:
    """A model made ready: calibrated once, then written with any nodes kept in fp32."""

    def __init__(
        self,
        source: Path,
        items: Sequence[Item],
        batched: bool,
        *,
        for_tensorrt: bool = False,
    ) -> None:
        """Equalise channels, round weights, and count the values of every tensor on all items.

        Raises:
            Refused: the model has no node that 8 bits make faster.
            SampleError: an item does not fit the model.
        """
        self.for_tensorrt = for_tensorrt
        self.batched = batched
        self.items = items
        self.source = read(source)
        self.float_model = _in_opset(self.source, LEAST_OPSET)
        lift_constants(self.float_model)
        self.nodes = weighted_nodes(self.float_model)
        if not self.nodes:
            raise Refused(
                "int8: nothing to quantise: no Conv, Gemm or MatMul with constant weights",
                "Publish it in fp32.",
            )
        set_constants(self.float_model, equalised_weights(self.float_model, items, batched))
        self.rounded = rounded_weights(self.float_model, self.nodes, items, batched)
        rounded = _with(self.float_model, self.rounded)
        self.observed = observe(rounded, items, batched, may_be_quantised(rounded))

    @property
    def names(self) -> list[str]:
        """Nodes that are quantised, in the graph's order: what ``keep`` may name."""
        return [node.name for node in self.nodes]

    @property
    def costs(self) -> dict[str, float]:
        """Multiplications that each of them does for all items: what keeping it gives up."""
        made = {name: float(row.counts.sum()) for name, row in self.observed.items()}
        return {node.name: made.get(node.answer, 0.0) * node.inputs for node in self.nodes}

    def write(self, out: Path, method: Method = "minmax", keep: Collection[str] = ()) -> Made:
        """Write ``out/model.onnx``.

        Raises:
            Refused: all nodes are kept.
            InputError: ``keep`` names a node that is not there.
        """
        check_keep(keep, self.source)
        quantised = [node for node in self.nodes if node.name not in set(keep)]
        if not quantised:
            raise Refused(
                "int8: nothing to quantise: every node that could be is kept in fp32",
                "Publish it in fp32.",
            )
        ranges = {
            name: value_range(row, method, symmetric=self.for_tensorrt)
            for name, row in self.observed.items()
        }
        write(self._quantised(quantised, ranges), out)
        kept = [node.name for node in self.nodes if node.name in set(keep)]
        parts = [
            f"8-bit weights per channel and values ({method} of {len(self.items)} samples), "
            f"{len(quantised)} of {len(self.nodes)} nodes"
        ]
        if kept:
            parts.append(f"{len(kept)} kept in fp32")
        return Made(
            how="; ".join(parts),
            details={
                "precision": "int8",
                "format": "QDQ",
                "method": method,
                "calibration_samples": len(self.items),
                "converted": len(quantised),
                "kept": kept,
            },
        )

    def closest_method(
        self, out: Path, keep: Collection[str] = ()
    ) -> tuple[Method, dict[str, float]]:
        """The method whose model answers closest to fp32, and the error of each.

        The error is the largest of any item and output: of the difference, beside the answer.
        """
        step = max(1, len(self.items) // COMPARED)
        items = self.items[::step][:COMPARED]
        wanted = answers(self.source, items, self.batched)
        errors: dict[str, float] = {}
        for method in METHODS:
            self.write(out, method, keep)
            found = answers(read(out / MODEL_FILE), items, self.batched)
            errors[method] = max(map(distance, found, wanted))
        best = min(METHODS, key=lambda method: errors[method])
        return best, errors

    def _quantised(
        self, nodes: Sequence[Weighted], ranges: Mapping[str, tuple[float, float]]
    ) -> onnx.ModelProto:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        mine = {name for node in nodes for name in (node.weight, node.bias) if name}
        model = _with(self.float_model, {n: a for n, a in self.rounded.items() if n in mine})
        around = touched(model, {node.name for node in nodes})
        types = {node.op_type for node in model.graph.node if node.name in around}
        data = {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.items()
        }
        with quiet():
            quantiser = QDQQuantizer(
                model,
                True,  # per channel
                False,  # all 8 bits
                QuantType.QInt8,
                QuantType.QInt8 if self.for_tensorrt else QuantType.QUInt8,
                TensorsData(CalibrationMethod.MinMax, data),
                sorted(around),
                [],
                sorted(types),
                {
                    "ActivationSymmetric": self.for_tensorrt,
                    "WeightSymmetric": True,
                    "MatMulConstBOnly": True,
                    "OpTypesToExcludeOutputQuantization": list(FLOAT_ANSWERS),
                    # TensorRT reads no 32-bit integers here.
                    "QuantizeBias": not self.for_tensorrt,
                },
            )
            quantiser.quantize_model()
        made: onnx.ModelProto = quantiser.model.model
        if not self.for_tensorrt:  # it takes no scale per channel here, and has no such pass
            let_float_stay(made)
        drop_unused_constants(made)
        return made


def int8_static(
    source: Path,
    out: Path,
    items: Sequence[Item],
    batched: bool,
    method: Method | None = None,
    keep: Collection[str] = (),
    *,
    for_tensorrt: bool = False,
) -> Made:
    """Write ``out/model.onnx``, calibrated on all items; inputs and outputs keep their types.

    Args:
        source: the fp32 model.
        out: the folder to write into.
        items: real inputs.
        batched: the model has a batch axis, which the items lack.
        method: how to choose ranges; None tries all and takes the closest to fp32.
        keep: names of nodes that go on computing in fp32.
        for_tensorrt: ranges symmetric about zero, and biases in float32, as TensorRT reads them.

    Raises:
        Refused: there is nothing to quantise.
        SampleError: an item does not fit the model, or has no range.
        InputError: ``keep`` names a node that is not there.
    """
    ready = Int8Static(source, items, batched, for_tensorrt=for_tensorrt)
    if method is not None:
        return ready.write(out, method, keep)
    best, errors = ready.closest_method(out, keep)
    made = ready.write(out, best, keep)
    return made.model_copy(update={"details": {**made.details, "method_errors": errors}})


def _in_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    if opset_of(model) < least:
        model = onnx.version_converter.convert_version(model, least)
        for index, node in enumerate(model.graph.node):
            node.name = node.name or f"converted_{index}"  # what the converter added
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _with(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    set_constants(copy, arrays)
    return copy
