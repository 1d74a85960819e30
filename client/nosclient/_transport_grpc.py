"""Calls over gRPC, blocking and asynchronous."""

from __future__ import annotations

from typing import Any

import grpc

from nosclient._address import Address
from nosclient._after_fork import use_grpc
from nosclient._call import Call, Turn
from nosclient._credentials import Credentials
from nosclient._gevent import prepare_grpc
from nosclient._grpc_calls import GrpcCalls
from nosclient._grpc_failures import unreadable
from nosclient._grpc_messages import translated
from nosclient._stream_grpc import GrpcStreams

_INT32_MAX = 2**31 - 1
# Messages of any size, as tritonclient allows; look for a server that was away every second (gRPC's
# default doubles up to two minutes); and a connection of its own for each client.
_CHANNEL = [
    ("grpc.max_send_message_length", _INT32_MAX),
    ("grpc.max_receive_message_length", _INT32_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that a connection may take to come about, with TLS and over a long way.
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcTransport:
    """Blocking calls; one channel, which any number of threads may use at once."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        use_grpc()
        prepare_grpc()
        self._url = str(address)
        self._credentials = credentials
        options, tls = _channel_options(credentials), _channel_credentials(credentials)
        if tls is None:
            self._channel = grpc.insecure_channel(address.netloc, options)
        else:
            self._channel = grpc.secure_channel(address.netloc, tls, options)
        self._calls = GrpcCalls(self._channel, self._url)
        self._streams = GrpcStreams(address, options, credentials, tls)

    def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        if isinstance(call, Turn):
            return call.stream.take(call)
        if call.method == "stream_infer":
            return self._streams.open(call)
        send, message, answer = self._calls.prepared(call)
        metadata = tuple(self._credentials.headers(call.headers).items())
        try:
            response = send(message, timeout=call.timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise translated(error, call, self._url) from error
        if response is None:  # none came, or one that gRPC could not read
            raise unreadable(call, self._url, "no message that can be read")
        return answer(response, call, self._url)

    def close(self) -> None:
        """Close the channels; calls and streams in flight are cancelled."""
        self._channel.close()
        self._streams.close()


class AsyncGrpcTransport:
    """Calls on the running event loop; one channel."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        import grpc.aio

        from nosclient._stream_grpc_aio import AsyncGrpcStreams

        use_grpc()
        self._url = str(address)
        self._credentials = credentials
        options, tls = _channel_options(credentials), _channel_credentials(credentials)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address.netloc, options)
        else:
            self._channel = grpc.aio.secure_channel(address.netloc, tls, options)
        self._calls = GrpcCalls(self._channel, self._url)
        self._streams = AsyncGrpcStreams(address, options, credentials, tls)

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        if isinstance(call, Turn):
            return await call.stream.take(call)
        if call.method == "stream_infer":
            return await self._streams.open(call)
        send, message, answer = self._calls.prepared(call)
        metadata = tuple(self._credentials.headers(call.headers).items())
        try:
            response = await send(message, timeout=call.timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise translated(error, call, self._url) from error
        if response is None:  # none came, or one that gRPC could not read
            raise unreadable(call, self._url, "no message that can be read")
        return answer(response, call, self._url)

    async def close(self) -> None:
        """Close the channels; calls and streams in flight are cancelled."""
        await self._channel.close()
        await self._streams.close()

    async def abandon(self) -> None:
        """Nothing to do: the tasks ended with their loop, and a forgotten channel is closed."""


def _channel_options(credentials: Credentials) -> list[tuple[str, Any]]:
    tls = credentials.tls
    if tls is None or tls.server_name is None:
        return _CHANNEL
    return [*_CHANNEL, ("grpc.ssl_target_name_override", tls.server_name)]


def _channel_credentials(credentials: Credentials) -> Any:
    return None if credentials.tls is None else credentials.tls.channel_credentials()
