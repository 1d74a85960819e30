"""Calls over HTTP, blocking and asynchronous."""

from __future__ import annotations

import asyncio
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import quote

from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from nosclient._address import Address
from nosclient._call import Call, Deadline, Turn
from nosclient._credentials import Credentials
from nosclient._error_map import NotConnected, translate
from nosclient._http_answers import answer
from nosclient._http_connections import HttpConnections, Reply, connect_seconds
from nosclient._http_messages import HEADER_LENGTH, call_arguments, registration_body

# Method -> verb and path, as in the KServe v2 protocol and Triton's repository and statistics
# extensions; {model} carries the version where one is asked for.
_ROUTES = {
    "is_server_live": ("GET", "/v2/health/live"),
    "is_server_ready": ("GET", "/v2/health/ready"),
    "is_model_ready": ("GET", "/v2/models/{model}/ready"),
    "get_model_metadata": ("GET", "/v2/models/{model}"),
    "get_model_config": ("GET", "/v2/models/{model}/config"),
    "get_model_repository_index": ("POST", "/v2/repository/index"),
    "get_inference_statistics": ("GET", "/v2/models/{model}/stats"),
    "get_server_metadata": ("GET", "/v2"),
    "get_system_shared_memory_status": ("GET", "/v2/systemsharedmemory/status"),
    "register_system_shared_memory": ("POST", "/v2/systemsharedmemory/region/{region}/register"),
    "unregister_system_shared_memory": (
        "POST",
        "/v2/systemsharedmemory/region/{region}/unregister",
    ),
    "get_cuda_shared_memory_status": ("GET", "/v2/cudasharedmemory/status"),
    "register_cuda_shared_memory": ("POST", "/v2/cudasharedmemory/region/{region}/register"),
    "unregister_cuda_shared_memory": ("POST", "/v2/cudasharedmemory/region/{region}/unregister"),
    "load_model": ("POST", "/v2/repository/models/{model}/load"),
    "unload_model": ("POST", "/v2/repository/models/{model}/unload"),
    "infer": ("POST", "/v2/models/{model}/infer"),
}


class HttpTransport:
    """Blocking calls; any number of threads may use it at once."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._url = str(address)
        self._credentials = credentials
        context = None if credentials.tls is None else credentials.tls.context()
        self._connections = HttpConnections(address, context)

    def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        assert isinstance(call, Call), "HTTP has no streams, and none is opened"
        try:
            asked = _request(call, self._credentials)
            reply = self._connections.request(*asked, call.timeout)
            return answer(reply, call, self._url)
        except (InferenceServerException, OSError, HTTPException) as error:
            raise translate(error, call, self._url) from error

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


class AsyncHttpTransport:
    """Calls on the running event loop, through aiohttp, which tritonclient brings."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        import aiohttp

        self._url = str(address)
        self._base = f"http{'s' * (credentials.tls is not None)}://{address.netloc}{address.path}"
        self._credentials = credentials
        self._failures = (
            *(InferenceServerException, OSError, HTTPException),
            *(asyncio.TimeoutError, aiohttp.ClientError),
        )
        context = True if credentials.tls is None else credentials.tls.context()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=None)
        )

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        assert isinstance(call, Call), "HTTP has no streams, and none is opened"
        try:
            asked = _request(call, self._credentials)
            reply = await asyncio.wait_for(self._sent(asked, call.timeout), call.timeout)
            return answer(reply, call, self._url)
        except self._failures as error:
            raise translate(error, call, self._url) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def abandon(self) -> None:
        """The same: aiohttp does not ask a closed loop, and would warn of what is not closed."""
        await self._session.close()

    async def _sent(self, asked: _Request, timeout: float | None) -> Reply:
        from aiohttp import ClientTimeout, ServerTimeoutError
        from yarl import URL

        patience = connect_seconds(Deadline(timeout))
        sending = self._session.request(
            asked.verb,
            URL(self._base + asked.path, encoded=True),
            data=asked.body if asked.verb == "POST" else None,
            # As the blocking client's: Triton would take its time to compress tensors.
            headers={"accept-encoding": "identity", **asked.headers},
            allow_redirects=False,
            timeout=ClientTimeout(total=None, sock_connect=patience),
        )
        try:
            response = await sending
        except ServerTimeoutError as error:  # no other limit is set
            raise NotConnected(f"no connection within {patience:.3g} s") from error
        async with response:
            return Reply(response.status, response.headers, await response.read())


class _Request(NamedTuple):
    verb: str
    path: str
    body: bytes
    headers: dict[str, str]


def _request(call: Call, credentials: Credentials) -> _Request:
    verb, route = _ROUTES[call.method]
    model = quote(call.model, safe="")
    if call.version:
        model += f"/versions/{call.version}"
    body, own = _encoded(call)
    headers = credentials.headers(own)
    path = route.format(model=model, region=call.region.name if call.region else "")
    return _Request(verb, path, body, headers)


def _encoded(call: Call) -> tuple[bytes, dict[str, str]]:
    headers = dict(call.headers)
    if call.region is not None and call.region.size:
        return registration_body(call.region), headers
    if call.method != "infer":
        return b"", headers
    body, header_length = triton.InferenceServerClient.generate_request_body(**call_arguments(call))
    if header_length is not None:
        headers[HEADER_LENGTH] = str(header_length)
    return body, headers
