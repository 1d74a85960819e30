"""Triton's ``onnxruntime`` backend for a server that has no ``libtriton_onnxruntime.so``.

Triton looks for the C++ library first and for this file second, so a model with
``backend: "onnxruntime"`` runs on this in the embedded server and on NVIDIA's own backend in a
container, from the same config.pbtxt.

Enters: the requests of one execution. Leaves: one response for each, in the same order.
"""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from joined_requests import JoinedRequests, check_numpy, config_dims
from ort_session import open_session, run_options
from sequence_states import state_entries

_ORT_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}
_TRITON_TYPES = {ort: triton for triton, ort in _ORT_TYPES.items()}


class TritonPythonModel(JoinedRequests):
    """One instance of a model: an ONNX Runtime session and how to feed it."""

    def initialize(self, args):
        check_numpy()
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        if path.is_dir():
            path = path / "model.onnx"
        if not path.is_file():
            raise pb_utils.TritonModelException(
                f"{path} is missing; build the model again, or set default_model_filename"
            )
        self._session = open_session(path, config, args)
        batched = config["max_batch_size"] > 0
        inputs = [*config["input"], *state_entries(config, "input")]
        outputs = [*config["output"], *state_entries(config, "output")]
        _check_agreement(self._session, inputs, outputs, batched)
        self.prepare(config, set() if batched else _scalars(self._session))
        self._run_options = run_options(config)

    def run_arrays(self, names, feed):
        return self._session.run(names, feed, self._run_options)


def _check_agreement(session, inputs, outputs, batched):
    """What config.pbtxt declares must be what the ONNX file has; every difference is named."""
    problems = []
    for kind, declared, actual in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        by_name = {node.name: node for node in actual}
        if kind == "input":
            missing = sorted(by_name.keys() - {entry["name"] for entry in declared})
            problems += [f"input {name!r} of the ONNX file is not declared" for name in missing]
        for entry in declared:
            node = by_name.get(entry["name"])
            if node is None:
                has = ", ".join(repr(name) for name in by_name)
                problems.append(
                    f"{kind} {entry['name']!r} is not in the ONNX file, which has {has}"
                )
            else:
                problems += _differences(kind, entry, node, batched)
    if problems:
        raise pb_utils.TritonModelException(
            "config.pbtxt and the ONNX file do not agree: " + "; ".join(problems)
        )


def _differences(kind, entry, node, batched):
    name, declared = entry["name"], entry["data_type"]
    if declared == "TYPE_BF16" or node.type == "tensor(bfloat16)":
        yield f"{kind} {name!r} is bfloat16, which numpy does not have; use FP32 or FP16"
        return
    if _ORT_TYPES.get(declared) != node.type:
        actual = _TRITON_TYPES.get(node.type, node.type)
        yield f"{kind} {name!r} is declared {declared} but is {actual}"
    dims = config_dims(entry)
    if not node.shape:  # a scalar, or an output whose shape the file does not tell
        if kind == "input" and not batched and any(dim != 1 for dim in dims):
            yield f"input {name!r} is declared with shape {dims} but is a scalar: declare [1]"
        return
    shape = [-1] * batched + dims
    fits = len(shape) == len(node.shape) and all(
        ours == -1 or not isinstance(theirs, int) or ours == theirs
        for ours, theirs in zip(shape, node.shape, strict=True)
    )
    if not fits:
        yield f"{kind} {name!r} is declared with shape {shape} but has {list(node.shape)}"


def _scalars(session):
    """Tensors without axes. Triton has none where it does not batch: they are declared as [1]."""
    return {node.name for node in session.get_inputs() + session.get_outputs() if not node.shape}
