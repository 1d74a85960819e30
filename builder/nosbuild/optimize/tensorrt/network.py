"""An ONNX file goes in; TensorRT's network comes out, or the nodes that it cannot take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused

if TYPE_CHECKING:
    from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.library import Messages
    from nosbuild.optimize.tensorrt.flavours import Flavour

_SHOWN = 5

PORTABLE = "The ONNX variants serve this model; or replace the operator by standard ONNX ones."


def new_builder(flavour: Flavour, messages: Messages) -> Any:
    """TensorRT's builder.

    Raises:
        Refused: it does not start (its bindings then answer nothing, or a TypeError).
    """
    try:
        builder = flavour.library.Builder(messages.logger)
    except (TypeError, RuntimeError) as error:
        messages.errors.append(str(error))
        builder = None
    if builder is None:
        raise Refused(
            f"{flavour.title} does not start: {messages.reason()}",
            "Bring NVIDIA's driver to the CUDA version that this TensorRT is made for.",
        )
    return builder


def strongly_typed_network(flavour: Flavour, builder: Any) -> Any:
    """An empty network that computes in the types that the graph says, and no others."""
    flag = getattr(flavour.library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    # A version without the flag knows no other networks.
    return builder.create_network(0 if flag is None else 1 << int(flag))


def parse_onnx(flavour: Flavour, network: Any, source: Path, messages: Messages) -> None:
    """Fill the network.

    Raises:
        Refused: operators that TensorRT does not know, or inputs that are shapes.
    """
    parser = flavour.library.OnnxParser(network, messages.logger)
    if not parser.parse_from_file(str(source)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        found = list(dict.fromkeys(_described(error) for error in errors))
        shown = [*found[:_SHOWN], f"{len(found) - _SHOWN} more"][: max(len(found), 1)]
        raise Refused(
            f"{flavour.title} cannot take {'; '.join(shown) if found else messages.reason()}",
            PORTABLE,
        )
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.is_shape_tensor:
            raise Refused(
                f"{flavour.title} takes input {tensor.name!r} as a shape: its values decide the "
                "sizes of other tensors",
                "Make it a constant of the model, or serve an ONNX variant.",
            )


def _described(error: Any) -> str:
    node, operator = _told(error, "node_name"), _told(error, "node_operator")
    name = f"node {node!r}" if node else f"node number {error.node()}"
    return f"{name} ({operator or 'operator unknown'}): {' '.join(str(error.desc()).split())}"


def _told(error: Any, name: str) -> str:
    return str(getattr(error, name)()) if hasattr(error, name) else ""
