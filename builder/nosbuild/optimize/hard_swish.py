"""A model goes in; the same, its hard-swish and hard-sigmoid written shortest, comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from nosbuild.optimize.graph_reading import constant, made_by, read_once
from nosbuild.optimize.graph_writing import Writer, tidy

_SIGMOID = {"alpha": float(np.float32(1 / 6)), "beta": 0.5}


def write_hard_swish(model: ir.Model) -> int:
    """Write ``clip(x + 3, 0, 6) / 6`` as HardSigmoid and times x as HardSigmoid and Mul, in place.

    Exporters to older opsets write four operators, each of them a pass over the memory. The
    shorter form is standard ONNX; only float32 is rewritten, which every runtime has a kernel for.

    Returns:
        how many were rewritten.
    """
    writer = Writer(model.graph)
    found = 0
    for node in list(model.graph):
        if node.op_type not in ("Mul", "Div") or len(node.outputs) != 1:
            continue
        if (given := _swished(node.outputs[0])) is not None:
            writer.at(node)
            gate = writer.add("HardSigmoid", [given], _SIGMOID, like=given)
            node.op_type = "Mul"
            node.replace_input_with(0, given)
            node.replace_input_with(1, gate)
        elif (given := _gating(node.outputs[0])) is not None:
            node.op_type = "HardSigmoid"
            node.resize_inputs(1)
            node.replace_input_with(0, given)
            node.attributes.update({key: ir.AttrFloat32(key, _SIGMOID[key]) for key in _SIGMOID})
        else:
            continue
        found += 1
    if found:
        tidy(model)
    return found


def _swished(output: ir.Value) -> ir.Value | None:
    """Of ``x * clip / 6``, x; where the clip alone is divided, see ``_gating``."""
    product = _divided(output)
    if product is not None and read_once(product):
        for given, gate in _factors(product):
            if read_once(gate) and _clipped(gate) is given:
                return given
    for sixth, gate in _factors(output):
        given_or_none = _divided(sixth)
        if given_or_none is None or not (read_once(sixth) and read_once(gate)):
            continue
        if _clipped(gate) is given_or_none:
            return given_or_none
    return None


def _gating(output: ir.Value) -> ir.Value | None:
    """Of ``clip(x + 3, 0, 6) / 6``, x."""
    gate = _divided(output)
    return _clipped(gate) if gate is not None and read_once(gate) else None


def _clipped(gate: ir.Value) -> ir.Value | None:
    """Of ``clip(x + 3, 0, 6)``, x, if nothing else reads what lies between."""
    lowest, highest = -math.inf, math.inf
    value = gate
    while (bounded := _bounded(value)) is not None:
        value, low, high = bounded
        if not read_once(value):
            return None
        lowest, highest = max(lowest, low), min(highest, high)
    if (lowest, highest) != (0.0, 6.0):
        return None
    return next((given for number, given in _with_number(value, "Add") if number == 3.0), None)


def _bounded(value: ir.Value) -> tuple[ir.Value, float, float] | None:
    """(what goes in, the least, the most that comes out) of a node that does only this."""
    if (node := made_by(value, "Relu")) is not None and node.inputs[0] is not None:
        return node.inputs[0], 0.0, math.inf
    if (node := made_by(value, "Clip")) is not None and node.inputs[0] is not None:
        low, high = _limit(node, 1, "min", -math.inf), _limit(node, 2, "max", math.inf)
        return None if low is None or high is None else (node.inputs[0], low, high)
    for number, given in _with_number(value, "Max"):
        return given, number, math.inf
    for number, given in _with_number(value, "Min"):
        return given, -math.inf, number
    return None


def _limit(node: ir.Node, index: int, name: str, default: float) -> float | None:
    """One side of a Clip, an attribute before opset 11; None where it is known only at a run."""
    if name in node.attributes:
        return float(node.attributes[name].as_float())
    if index >= len(node.inputs) or node.inputs[index] is None:
        return default
    found = constant(node.inputs[index])
    return float(found.item()) if found is not None and found.size == 1 else None


def _divided(value: ir.Value) -> ir.Value | None:
    """What is divided by 6, or multiplied by a sixth."""
    for number, given in _with_number(value, "Mul"):
        if math.isclose(number, 1 / 6, rel_tol=1e-7):
            return given
    if (node := made_by(value, "Div")) is not None and _number(node.inputs[1], value) == 6.0:
        return node.inputs[0]
    return None


def _factors(value: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
    node = made_by(value, "Mul")
    first, second = node.inputs if node is not None else (None, None)
    if first is not None and second is not None:
        yield first, second
        yield second, first


def _with_number(value: ir.Value, op_type: str) -> Iterator[tuple[float, ir.Value]]:
    """The two sides of an operator that takes them in any order, where one is a number."""
    node = made_by(value, op_type)
    if node is None or len(node.inputs) != 2:
        return
    for side, other in (node.inputs, reversed(node.inputs)):
        number = _number(side, value)
        if number is not None and other is not None:
            yield number, other


def _number(value: ir.Value | None, result: ir.Value) -> float | None:
    """A float32 that is one number and gives the result no axes of its own."""
    found = constant(value)
    if found is None or found.size != 1 or found.dtype != np.float32:
        return None
    adds_none = found.ndim == 0 or (result.shape is not None and len(result.shape) > found.ndim)
    return float(found.item()) if adds_none else None
