"""A model in memory goes in; the same, in a file that any reader can load, comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.export.portable import IR_VERSION

if TYPE_CHECKING:
    import onnx_ir

MODEL_FILE = "model.onnx"
"""What Triton's ONNX Runtime backend looks for in a version folder."""

EXTERNAL_DATA_ABOVE = 1_900_000_000
"""Bytes; a protobuf message holds at most 2 GiB, so larger weights go to a file beside it."""


def settle(model: onnx_ir.Model, name: str) -> None:
    """Take out what differs from run to run, so that the same source gives the same bytes:
    skl2onnx names the graph at random, the dynamo exporter notes stack traces in every node.
    The file format is capped too: a newer one only says that a newer library wrote it.
    """
    model.graph.name = name
    model.ir_version = min(model.ir_version, IR_VERSION)
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None


def save(model: onnx_ir.Model, path: Path) -> None:
    """Write the model; weights that are too many for one message go to a file beside it."""
    import onnx_ir

    # What lies beside the file that was read must lie in ours, or beside it.
    onnx_ir.external_data.load_to_model(model)
    external = f"{path.name}.data" if weight_bytes(model) > EXTERNAL_DATA_ABOVE else None
    onnx_ir.save(model, path, external_data=external)


def weight_bytes(model: onnx_ir.Model) -> int:
    """What the graph's initializers take."""
    return sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None
    )
