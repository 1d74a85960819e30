"""Calls over gRPC through tritonclient, blocking and asynchronous."""

from __future__ import annotations

from typing import Any

from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from nosclient._address import Address
from nosclient._call import Call, Turn
from nosclient._codec import call_arguments, read_outputs
from nosclient._credentials import Credentials
from nosclient._error_map import translate
from nosclient._stream_grpc import GrpcStreams

_JSON = frozenset(
    {
        "get_model_metadata",
        "get_model_config",
        "get_model_repository_index",
        "get_inference_statistics",
    }
)
_INT32_MAX = 2**31 - 1
# tritonclient's own defaults, and: look for a server that was away every second (gRPC's default
# doubles up to two minutes), and a connection of its own for each client.
_CHANNEL = [
    ("grpc.max_send_message_length", _INT32_MAX),
    ("grpc.max_receive_message_length", _INT32_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that a connection may take to come about, with TLS and over a long way.
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]


def _channel_options(credentials: Credentials) -> list[tuple[str, Any]]:
    tls = credentials.tls
    if tls is None or tls.server_name is None:
        return _CHANNEL
    return [*_CHANNEL, ("grpc.ssl_target_name_override", tls.server_name)]


def _channel_credentials(credentials: Credentials) -> Any:
    return None if credentials.tls is None else credentials.tls.channel_credentials()


def _arguments(call: Call, credentials: Credentials) -> dict[str, Any]:
    if call.timeout is not None and call.timeout <= 0:
        raise TimeoutError("the deadline has passed")  # gRPC might still be answered in time
    arguments = call_arguments(call, triton)
    arguments["client_timeout"] = call.timeout
    arguments["headers"] = credentials.headers()
    if call.method in _JSON:
        arguments["as_json"] = True
    return arguments


class GrpcTransport:
    """Blocking calls; one channel, which any number of threads may use at once."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._url = str(address)
        self._credentials = credentials
        options, tls = _channel_options(credentials), _channel_credentials(credentials)
        self._client = triton.InferenceServerClient(address.netloc, creds=tls, channel_args=options)
        self._streams = GrpcStreams(address, options, credentials, tls)

    def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        if isinstance(call, Turn):
            return call.stream.take(call)
        if call.method == "stream_infer":
            return self._streams.open(call)
        try:
            answer = getattr(self._client, call.method)(**_arguments(call, self._credentials))
        except (InferenceServerException, TimeoutError) as error:
            raise translate(error, call, self._url) from error
        return read_outputs(answer) if call.method == "infer" else answer

    def close(self) -> None:
        """Close the channels; calls and streams in flight are cancelled."""
        self._client.close()
        self._streams.close()


class AsyncGrpcTransport:
    """Calls on the running event loop; one channel."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        from tritonclient.grpc import aio

        from nosclient._stream_grpc_aio import AsyncGrpcStreams

        self._url = str(address)
        self._credentials = credentials
        options, tls = _channel_options(credentials), _channel_credentials(credentials)
        self._client = aio.InferenceServerClient(address.netloc, creds=tls, channel_args=options)
        self._streams = AsyncGrpcStreams(address, options, credentials, tls)

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        if isinstance(call, Turn):
            return await call.stream.take(call)
        if call.method == "stream_infer":
            return await self._streams.open(call)
        try:
            answer = await getattr(self._client, call.method)(**_arguments(call, self._credentials))
        except (InferenceServerException, TimeoutError) as error:
            raise translate(error, call, self._url) from error
        return read_outputs(answer) if call.method == "infer" else answer

    async def close(self) -> None:
        """Close the channels; calls and streams in flight are cancelled."""
        await self._client.close()
        await self._streams.close()
