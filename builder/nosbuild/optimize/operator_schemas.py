"""A node goes in; which of its tensors its operator lets be of a given type comes out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat

import onnx

from nosbuild.optimize.source_graph import DEFAULT_DOMAINS


@dataclass(frozen=True)
class _Schema:
    inputs: tuple[frozenset[str], ...]
    outputs: tuple[frozenset[str], ...]
    more_inputs: bool
    """The last input may be repeated."""
    more_outputs: bool


def inputs_may_be(node: onnx.NodeProto, opset: int, kind: str) -> list[bool] | None:
    """For every input: whether it may be of this type; None for an operator without a schema.

    Args:
        node: of ONNX's own operators, or of ONNX Runtime's.
        opset: of ONNX's own domain.
        kind: e.g. ``tensor(float16)``.
    """
    schema = _schema(node.domain, node.op_type, opset)
    if schema is None:
        return None
    return _allowed(len(node.input), schema.inputs, schema.more_inputs, kind)


def outputs_may_be(node: onnx.NodeProto, opset: int, kind: str) -> list[bool] | None:
    """The same for every output."""
    schema = _schema(node.domain, node.op_type, opset)
    if schema is None:
        return None
    return _allowed(len(node.output), schema.outputs, schema.more_outputs, kind)


def _allowed(count: int, types: tuple[frozenset[str], ...], more: bool, kind: str) -> list[bool]:
    padded = chain(types, repeat(types[-1] if more and types else frozenset()))
    return [kind in allowed for allowed, _ in zip(padded, range(count), strict=False)]


@cache
def _schema(domain: str, op_type: str, opset: int) -> _Schema | None:
    if domain in DEFAULT_DOMAINS:
        try:
            found = onnx.defs.get_schema(op_type, opset, "")
        except onnx.defs.SchemaError:
            return None
        variadic = onnx.defs.OpSchema.FormalParameterOption.Variadic
        return _read(found, "type_str", variadic)
    contrib = _contrib().get((domain, op_type))
    if contrib is None:
        return None
    from onnxruntime.capi.onnxruntime_pybind11_state import schemadef

    return _read(contrib, "typeStr", schemadef.OpSchema.FormalParameterOption.Variadic)


def _read(schema: object, type_name: str, variadic: object) -> _Schema:
    constraints = {
        row.type_param_str: frozenset(row.allowed_type_strs)
        for row in schema.type_constraints  # type: ignore[attr-defined]
    }

    def types(rows: list[object]) -> tuple[frozenset[str], ...]:
        names = [getattr(row, type_name) for row in rows]
        return tuple(constraints.get(name, frozenset({name})) for name in names)

    inputs, outputs = list(schema.inputs), list(schema.outputs)  # type: ignore[attr-defined]
    return _Schema(
        types(inputs),
        types(outputs),
        bool(inputs) and inputs[-1].option == variadic,
        bool(outputs) and outputs[-1].option == variadic,
    )


@cache
def _contrib() -> dict[tuple[str, str], object]:
    """ONNX Runtime's own operators, as the installed version defines them."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    newest: dict[tuple[str, str], object] = {}
    for schema in get_all_operator_schema():
        key = (schema.domain, schema.name)
        held = newest.get(key)
        if held is None or schema.since_version > held.since_version:  # type: ignore[attr-defined]
            newest[key] = schema
    return newest
