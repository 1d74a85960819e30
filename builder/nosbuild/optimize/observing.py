"""A model and items go in; the values within the model, item by item, come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from nosbuild.errors import SampleError
from nosbuild.export.saving import EXTERNAL_DATA_ABOVE, MODEL_FILE

if TYPE_CHECKING:
    from types import TracebackType

Item = Mapping[str, np.ndarray]

FLOAT = "tensor(float)"


class Observer:
    """A session that shows inner values, run on one item at a time.

    What it holds at once is one item's activations, however many items there are.
    """

    def __init__(self, model: onnx.ModelProto, names: Sequence[str] | None = None) -> None:
        """``names``: the values to show; None for all of the outermost graph."""
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        outputs = {value.name for value in shown.graph.output}
        made = [name for node in shown.graph.node for name in node.output if name]
        for name in made if names is None else names:
            if name not in outputs:
                outputs.add(name)
                shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self.inputs = {value.name: _shape(value) for value in _inputs(model)}
        self._scratch, self.session = _session(shown)
        self.types: dict[str, str] = {
            value.name: value.type
            for value in (*self.session.get_inputs(), *self.session.get_outputs())
        }
        """Value -> its type as ONNX Runtime writes it, e.g. ``tensor(float)``."""

    def run(
        self, items: Sequence[Item], batched: bool, names: Sequence[str]
    ) -> Iterator[dict[str, np.ndarray]]:
        """The values of these names for every item; the batch axis, if any, has size 1.

        Raises:
            SampleError: an item does not fit the model's inputs.
        """
        wanted = [name for name in names if name not in self.inputs]
        for index, item in enumerate(items):
            feed = self._feed(item, index, batched)
            found = dict(zip(wanted, self.session.run(wanted, feed), strict=True)) if wanted else {}
            yield {name: found[name] if name in found else feed[name] for name in names}

    def close(self) -> None:
        """Let go of the session and of its files."""
        del self.session
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _feed(self, item: Item, index: int, batched: bool) -> dict[str, np.ndarray]:
        if set(item) != set(self.inputs):
            raise SampleError(
                f"sample {index} holds {', '.join(item) or 'nothing'}, the inputs are "
                f"{', '.join(self.inputs)}",
                "Yield a dict with exactly these names.",
            )
        feed = {}
        for name, shape in self.inputs.items():
            array = np.asarray(item[name])
            array = array[None] if batched else array
            fits = shape is None or (
                len(shape) == array.ndim
                and all(size in (None, got) for size, got in zip(shape, array.shape, strict=True))
            )
            if shape is not None and not fits:
                skip = 1 if batched else 0
                raise SampleError(
                    f"sample {index}: {name} has shape {list(array.shape[skip:])}, the model takes "
                    f"[{', '.join('any' if size is None else str(size) for size in shape[skip:])}]",
                    "Yield items of that shape" + (", without the batch axis." if batched else "."),
                )
            feed[name] = array
        return feed


def value_types(model: onnx.ModelProto) -> dict[str, str]:
    """Value of the outermost graph -> its type, as the one who runs it sees it."""
    weights = {
        row.name: FLOAT
        for row in model.graph.initializer
        if row.data_type == onnx.TensorProto.FLOAT
    }
    with Observer(model) as observer:
        return weights | observer.types


def _session(model: onnx.ModelProto) -> tuple[TemporaryDirectory[str] | None, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Others may want the cores: between runs much is computed outside of ONNX Runtime.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # As written: a fusion would take away the very values that are to be seen.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    scratch = None
    given: bytes | str
    if model.ByteSize() < EXTERNAL_DATA_ABOVE:
        given = model.SerializeToString()
    else:
        scratch = TemporaryDirectory(prefix="nosbuild-")
        given = str(Path(scratch.name) / MODEL_FILE)
        onnx.save(model, given, save_as_external_data=True)
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return scratch, session


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {row.name for row in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
