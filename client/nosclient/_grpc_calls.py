"""A call goes in; how to send it over gRPC, and how to read its answer, come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nosclient._call import Call
from nosclient._error_map import translate
from nosclient._errors import InvalidInput
from nosclient._grpc_inference import Layouts

_INFER = "/inference.GRPCInferenceService/ModelInfer"


class _Procedure(NamedTuple):
    """One procedure of GRPCInferenceService."""

    name: str
    message: Callable[[Call], Any]
    answer: Callable[[Any], Any]


class Prepared(NamedTuple):
    """A call that can be sent."""

    send: Callable[..., Any]
    """Takes the message, and what every call of gRPC takes."""
    message: Any
    answer: Callable[[Any, Call, str], Any]
    """What the response to it says: arrays for ``infer``, a bool, or the message as plain data."""


class GrpcCalls:
    """Of one channel, blocking or asynchronous; safe to share between threads."""

    def __init__(self, channel: Any, url: str) -> None:
        self._url = url
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._send_inference = channel.unary_unary(_INFER)  # of bytes
        self._layouts = Layouts()

    def prepared(self, call: Call) -> Prepared:
        """The call as it is to be sent.

        Raises:
            DeadlineExceeded: it is too late for that.
            InvalidInput: a parameter of a reserved name, or a number that is out of range.
        """
        if call.timeout is not None and call.timeout <= 0:  # gRPC might still be answered in time
            raise translate(TimeoutError("the deadline has passed"), call, self._url)
        if call.method != "infer":
            procedure = _PROCEDURES[call.method]
            send, message = getattr(self._stub, procedure.name), procedure.message(call)
            return Prepared(send, message, lambda response, *_: procedure.answer(response))
        layout = self._layouts.of(call)
        try:
            return Prepared(self._send_inference, layout.message(call, self._url), layout.answer)
        except (ValueError, TypeError) as error:  # protobuf's own: a number that is out of range
            raise InvalidInput(
                f"{call.method} of {call.model!r} cannot be sent: {error}"
            ) from error


def _plain(response: Any) -> Any:
    return MessageToDict(response, preserving_proto_field_name=True)


def _nothing(response: Any) -> None:
    return None


def _one_model(message: Any) -> Callable[[Call], Any]:
    return lambda call: message(name=call.model, version=call.version)


def _region(call: Call) -> Any:
    assert call.region is not None, "the call is about a region"
    return call.region


_PROCEDURES = {
    "is_server_live": _Procedure(
        "ServerLive", lambda _: service_pb2.ServerLiveRequest(), lambda found: found.live
    ),
    "is_server_ready": _Procedure(
        "ServerReady", lambda _: service_pb2.ServerReadyRequest(), lambda found: found.ready
    ),
    "is_model_ready": _Procedure(
        "ModelReady", _one_model(service_pb2.ModelReadyRequest), lambda found: found.ready
    ),
    "get_server_metadata": _Procedure(
        "ServerMetadata", lambda _: service_pb2.ServerMetadataRequest(), _plain
    ),
    "get_model_metadata": _Procedure(
        "ModelMetadata", _one_model(service_pb2.ModelMetadataRequest), _plain
    ),
    "get_model_config": _Procedure(
        "ModelConfig", _one_model(service_pb2.ModelConfigRequest), _plain
    ),
    "get_inference_statistics": _Procedure(
        "ModelStatistics", _one_model(service_pb2.ModelStatisticsRequest), _plain
    ),
    "get_model_repository_index": _Procedure(
        "RepositoryIndex", lambda _: service_pb2.RepositoryIndexRequest(), _plain
    ),
    "load_model": _Procedure(
        "RepositoryModelLoad",
        lambda call: service_pb2.RepositoryModelLoadRequest(model_name=call.model),
        _nothing,
    ),
    "unload_model": _Procedure(
        "RepositoryModelUnload",
        lambda call: service_pb2.RepositoryModelUnloadRequest(model_name=call.model),
        _nothing,
    ),
    "get_system_shared_memory_status": _Procedure(
        "SystemSharedMemoryStatus", lambda _: service_pb2.SystemSharedMemoryStatusRequest(), _plain
    ),
    "register_system_shared_memory": _Procedure(
        "SystemSharedMemoryRegister",
        lambda call: service_pb2.SystemSharedMemoryRegisterRequest(
            name=_region(call).name, key=_region(call).key, byte_size=_region(call).size
        ),
        _nothing,
    ),
    "unregister_system_shared_memory": _Procedure(
        "SystemSharedMemoryUnregister",
        lambda call: service_pb2.SystemSharedMemoryUnregisterRequest(name=_region(call).name),
        _nothing,
    ),
}
