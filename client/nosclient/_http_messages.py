"""An inference goes in, what tritonclient encodes comes out; and an answer as numpy."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
from tritonclient import http as triton

from nosclient._call import Call, RegionCall, Tensor
from nosclient._model_info import numpy_dtype
from nosclient._shared_pool import Place

HEADER_LENGTH = "Inference-Header-Content-Length"
"""How much of a body is JSON; tensors come after it."""


def call_arguments(call: Call) -> dict[str, Any]:
    """The keyword arguments of generate_request_body, for ``infer``."""
    arguments: dict[str, Any] = {
        "inputs": [_infer_input(tensor) for tensor in call.tensors],
        "priority": call.priority,
        "parameters": dict(call.parameters) or None,
    }
    if call.outputs is not None:
        arguments["outputs"] = [_asked_output(call, name) for name in call.outputs]
    if (timeout := call.queue_timeout_us) is not None:
        arguments["timeout"] = timeout
    if call.sequence is not None:
        arguments["sequence_id"] = call.sequence.id
        arguments["sequence_start"] = call.sequence.start
        arguments["sequence_end"] = call.sequence.end
    return arguments


def read_outputs(result: Any, places: Mapping[str, Place]) -> dict[str, npt.NDArray[Any]]:
    """Name -> array of every output in tritonclient's ``InferResult``.

    Arrays are views of the response where the protocol allows it, hence possibly read-only, or of
    ``places``, where the server wrote those outputs.
    """
    found = {}
    for output in result.get_response()["outputs"]:
        name, dtype = output["name"], numpy_dtype(output["datatype"])
        is_here = "data" in output or "binary_data_size" in output.get("parameters", {})
        if not is_here and (place := places.get(name)) is not None:
            found[name] = place.view(dtype, tuple(output["shape"]))
        else:
            found[name] = result.as_numpy(name)
    return found


def _infer_input(tensor: Tensor) -> Any:
    built = triton.InferInput(tensor.name, list(tensor.array.shape), tensor.datatype)
    if tensor.place is None:
        built.set_data_from_numpy(tensor.array)
    else:
        region, offset, size = tensor.place.lease.region, tensor.place.offset, tensor.place.size
        built.set_shared_memory(region.name, size, offset)
    return built


def _asked_output(call: Call, name: str) -> Any:
    built = triton.InferRequestedOutput(name)
    if (place := call.places.get(name)) is not None:
        built.set_shared_memory(place.lease.region.name, place.size, place.offset)
    return built


def registration_body(region: RegionCall) -> bytes:
    """What Triton's shared memory extensions take to register it."""
    body: dict[str, Any] = {"byte_size": region.size}
    if region.handle:
        body["raw_handle"] = {"b64": b64encode(region.handle).decode()}
        body["device_id"] = region.device
    else:
        body.update(key=region.key, offset=0)
    return json.dumps(body).encode()
