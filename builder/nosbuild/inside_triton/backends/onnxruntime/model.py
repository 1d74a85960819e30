"""Triton's ``onnxruntime`` backend for a server that has no ``libtriton_onnxruntime.so``.

Triton looks for the C++ library first and for this file second, so a model with
``backend: "onnxruntime"`` runs on this in the embedded server and on NVIDIA's own backend in a
container, from the same config.pbtxt.

Enters: the requests of one execution. Leaves: one response for each, in the same order.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from ort_session import open_session, run_options

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


class TritonPythonModel:
    """One instance of a model: an ONNX Runtime session and how to feed it."""

    def initialize(self, args):
        _check_numpy()
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
        self._batched = config["max_batch_size"] > 0
        inputs, outputs = config["input"], config["output"]
        _check_agreement(self._session, inputs, outputs, self._batched)
        scalars = set() if self._batched else _scalars(self._session)
        # (name, is it a string, is it a scalar), and by name what outputs need afterwards.
        self._inputs = [
            (entry["name"], entry["data_type"] == "TYPE_STRING", entry["name"] in scalars)
            for entry in inputs
        ]
        self._output_names = [entry["name"] for entry in outputs]
        self._finish = {
            entry["name"]: (entry["data_type"] == "TYPE_STRING", _dims(entry))
            for entry in outputs
            if entry["data_type"] == "TYPE_STRING" or entry["name"] in scalars
        }
        self._run_options = run_options(config)

    def execute(self, requests):
        """Answers every request, an error response included: an exception here kills the worker."""
        responses = [None] * len(requests)
        groups = {}
        for index, request in enumerate(requests):
            try:
                arrays = self._read(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                responses[index] = _failure(error)
                continue
            # Unbatched requests must not be joined; the index keeps each in a group of its own.
            key = _rows(arrays) if self._batched else index
            groups.setdefault(key, []).append((index, request, arrays))
        for group in groups.values():
            if len(group) == 1 or not self._run_joined(group, responses):
                self._run_alone(group, responses)
        return responses

    def _read(self, request):
        """The request's arrays in the order of the config; None for an optional one left out."""
        arrays = []
        for name, is_string, is_scalar in self._inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                arrays.append(None)
                continue
            array = tensor.as_numpy()
            if is_string:
                array = _decoded(name, array)
            arrays.append(array.reshape(()) if is_scalar else array)
        return arrays

    def _run_joined(self, group, responses):
        """One run for the whole group; False where it fails, so that each can be run alone."""
        try:
            columns = zip(*(arrays for _, _, arrays in group), strict=True)
            joined = [None if c[0] is None else np.concatenate(c) for c in columns]
            sizes = [_size(arrays) for _, _, arrays in group]
            names = self._wanted([request for _, request, _ in group])
            results = dict(zip(names, self._run(names, joined), strict=True))
            if any(array.shape[0] != sum(sizes) for array in results.values()):
                return False
            start = 0
            for (index, request, _), size in zip(group, sizes, strict=True):
                end = start + size
                rows = {name: array[start:end] for name, array in results.items()}
                responses[index] = self._response(request, rows)
                start = end
        except Exception:  # noqa: BLE001 - run alone, each request gets its own error or answer
            return False
        return True

    def _run_alone(self, group, responses):
        for index, request, arrays in group:
            try:
                names = self._wanted([request])
                results = dict(zip(names, self._run(names, arrays), strict=True))
                if self._batched:
                    _check_rows(results, _size(arrays))
                responses[index] = self._response(request, results)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                responses[index] = _failure(error)

    def _run(self, names, arrays):
        feed = {
            name: array
            for (name, _, _), array in zip(self._inputs, arrays, strict=True)
            if array is not None
        }
        results = self._session.run(names, feed, self._run_options)
        if self._finish:
            results = [
                self._finished(name, np.asarray(result))
                for name, result in zip(names, results, strict=True)
            ]
        return results

    def _finished(self, name, array):
        """The output as Triton takes it: bytes for strings, the declared shape for a scalar."""
        is_string, dims = self._finish.get(name, (False, None))
        if array.ndim == 0 and dims is not None:
            array = array.reshape(dims)
        return _encoded(array) if is_string else array

    def _wanted(self, requests):
        """Outputs that at least one of the requests asked for, in the order of the config."""
        if len(self._output_names) == 1:
            return self._output_names
        asked = {name for request in requests for name in request.requested_output_names()}
        return [name for name in self._output_names if name in asked] or self._output_names

    def _response(self, request, arrays):
        if len(self._output_names) > 1:
            asked = set(request.requested_output_names())
            arrays = {name: array for name, array in arrays.items() if name in asked}
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in arrays.items()]
        )


def _failure(error):
    """An error response; ONNX Runtime's own messages are kept as they are."""
    text = str(error) or type(error).__name__
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))


def _rows(arrays):
    """What two requests must have in common to be joined: everything but the batch size."""
    return tuple([None if array is None else array.shape[1:] for array in arrays])


def _size(arrays):
    return next(array.shape[0] for array in arrays if array is not None)


def _check_rows(results, size):
    for name, array in results.items():
        if array.ndim == 0 or array.shape[0] != size:
            raise ValueError(
                f"output {name!r} has shape {list(array.shape)} for a batch of {size}: the model "
                "does not keep its batch axis; declare it with max_batch_size: 0"
            )


def _decoded(name, array):
    """bytes, as Triton carries strings, to str, as ONNX Runtime takes them."""
    decoded = np.empty(array.size, dtype=object)
    for position, item in enumerate(array.reshape(-1)):
        try:
            decoded[position] = item.decode() if isinstance(item, bytes) else str(item)
        except UnicodeDecodeError as error:
            raise ValueError(f"input {name!r}: element {position} is not UTF-8: {error}") from None
    return decoded.reshape(array.shape)


def _encoded(array):
    """str, as ONNX Runtime gives strings, to bytes, as Triton carries them."""
    encoded = np.empty(array.size, dtype=object)
    for position, item in enumerate(array.reshape(-1)):
        encoded[position] = item if isinstance(item, bytes) else str(item).encode()
    return encoded.reshape(array.shape)


def _check_numpy():
    if int(np.__version__.split(".")[0]) >= 2:
        raise pb_utils.TritonModelException(
            f"numpy {np.__version__} corrupts tensors in Triton's Python backend; the server's "
            "Python needs numpy<2 (pip install 'numpy==1.26.4')"
        )


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
    dims = _dims(entry)
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


def _dims(entry):
    reshape = entry.get("reshape")
    return [int(dim) for dim in (reshape.get("shape", []) if reshape else entry["dims"])]
