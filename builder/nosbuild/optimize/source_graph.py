"""``model.onnx`` goes in; its graph, with a name for every node, comes out, and goes back in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx

from nosbuild.errors import InternalError
from nosbuild.export.portable import OPSET
from nosbuild.export.saving import MODEL_FILE, save, settle

DEFAULT_DOMAINS = ("", "ai.onnx")


def read(source: Path) -> onnx.ModelProto:
    """The model with its weights in memory, local functions inlined and every node named.

    Names are what ``keep`` and ``candidates`` go by; unnamed and repeated ones get the same new
    name at every reading.
    """
    model = onnx.load(str(source))
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _name_nodes(model.graph)
    return model


def write(model: onnx.ModelProto, out: Path, file: str = MODEL_FILE) -> Path:
    """``out/<file>``, in versions that every server loads and without notes of the maker.

    Returns:
        The file.
    """
    import onnx_ir

    opset = opset_of(model)
    if opset > OPSET:
        raise InternalError(f"a conversion wrote opset {opset}, servers load {OPSET} at most")
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    made = onnx_ir.serde.deserialize_model(model)
    settle(made, model.graph.name)
    made.producer_name, made.producer_version = "nosbuild", None
    path = out / file
    save(made, path)
    return path


def opset_of(model: onnx.ModelProto) -> int:
    """Of ONNX's own domain."""
    return next(
        (int(row.version) for row in model.opset_import if row.domain in DEFAULT_DOMAINS), 0
    )


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Name -> tensor of every value that no caller can set: initializers and Constant nodes."""
    given = {value.name for value in model.graph.input}
    found = {row.name: row for row in model.graph.initializer if row.name not in given}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS:
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def array_of(tensor: onnx.TensorProto) -> np.ndarray:
    """A constant's numbers."""
    return np.asarray(onnx.numpy_helper.to_array(tensor))


def set_constants(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the initializers of these names new numbers."""
    for row in model.graph.initializer:
        if row.name in arrays:
            row.CopyFrom(onnx.numpy_helper.from_array(arrays[row.name], row.name))


def lift_constants(model: onnx.ModelProto) -> None:
    """Make initializers of the graph's Constant nodes: one place for whoever changes weights."""
    found = constants(model)
    kept = [
        node
        for node in model.graph.node
        if node.op_type != "Constant" or not set(node.output) <= set(found)
    ]
    have = {row.name for row in model.graph.initializer}
    for name, tensor in found.items():
        if name not in have:
            lifted = model.graph.initializer.add()
            lifted.CopyFrom(tensor)
            lifted.name = name
            lifted.doc_string = ""
    replace_nodes(model, kept)


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Let the graph hold these nodes, in this order."""
    fresh = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(fresh)


def drop_unused_constants(model: onnx.ModelProto) -> None:
    """Take out the initializers that nothing reads any more."""
    used = {value.name for value in model.graph.output} | set(_read_in(model.graph))
    kept = [row for row in model.graph.initializer if row.name in used]
    if len(kept) < len(model.graph.initializer):
        fresh = [onnx.TensorProto.FromString(row.SerializeToString()) for row in kept]
        del model.graph.initializer[:]
        model.graph.initializer.extend(fresh)


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs within a node: branches of If, bodies of Loop and Scan."""
    found = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            found.append(attribute.g)
        found.extend(attribute.graphs)
    return found


def read_by(node: onnx.NodeProto) -> set[str]:
    """Every value that a node reads, those that its bodies take from outside included."""
    inner = [name for body in bodies(node) for name in _read_in(body)]
    return {name for name in (*node.input, *inner) if name}


def _read_in(graph: onnx.GraphProto) -> Iterable[str]:
    for node in graph.node:
        yield from read_by(node)
    yield from (value.name for value in graph.output)


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken = {node.name for node in graph.node}
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in seen:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)
