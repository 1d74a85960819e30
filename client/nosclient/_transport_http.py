"""Calls over HTTP, blocking and asynchronous."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from nosclient._address import Address
from nosclient._call import Call, Turn
from nosclient._credentials import Credentials
from nosclient._error_map import translate
from nosclient._http_connections import HttpConnections, Reply
from nosclient._http_messages import call_arguments, read_outputs, registration_body

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
_HEADER_LENGTH = "Inference-Header-Content-Length"


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
            return self._perform(call)
        except (InferenceServerException, OSError, HTTPException) as error:
            raise translate(error, call, self._url) from error

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _perform(self, call: Call) -> Any:
        verb, route = _ROUTES[call.method]
        model = quote(call.model, safe="")
        if call.version:
            model += f"/versions/{call.version}"
        body, own = _encoded(call)
        headers = self._credentials.headers(own)
        path = route.format(model=model, region=call.region.name if call.region else "")
        reply = self._connections.request(verb, path, body, headers, call.timeout)
        if call.method.startswith("is_") and reply.status in (200, 400, 404, 503):
            return reply.status == 200
        if reply.status != 200:
            raise InferenceServerException(_message(reply), status=str(reply.status))
        if call.method == "infer":
            return _decoded(reply, call)
        return json.loads(reply.body) if reply.body else None


def _encoded(call: Call) -> tuple[bytes, dict[str, str]]:
    headers = dict(call.headers)
    if call.region is not None and call.region.size:
        return registration_body(call.region), headers
    if call.method != "infer":
        return b"", headers
    arguments = call_arguments(call)
    del arguments["model_name"], arguments["model_version"]
    body, header_length = triton.InferenceServerClient.generate_request_body(**arguments)
    if header_length is not None:
        headers[_HEADER_LENGTH] = str(header_length)
    return body, headers


def _decoded(reply: Reply, call: Call) -> Any:
    length = reply.headers.get(_HEADER_LENGTH)
    result = triton.InferenceServerClient.parse_response_body(
        reply.body, header_length=None if length is None else int(length)
    )
    return read_outputs(result, call.places)


def _message(reply: Reply) -> str:
    text = reply.body.decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or "an empty response"  # not Triton's: a proxy's page, or an unknown path


class AsyncHttpTransport:
    """Calls on the running event loop, through tritonclient's aiohttp client."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        from aiohttp import ClientError
        from tritonclient.http import aio

        self._url = str(address)
        self._credentials = credentials
        tls = credentials.tls
        self._failures = (InferenceServerException, OSError, asyncio.TimeoutError, ClientError)
        self._client = aio.InferenceServerClient(
            address.netloc + address.path,
            conn_timeout=None,  # ours is per call
            ssl=tls is not None,
            ssl_context=True if tls is None else tls.context(),
        )

    async def perform(self, call: Call | Turn) -> Any:
        """The server's answer; raises a NosClientError."""
        assert isinstance(call, Call), "HTTP has no streams, and none is opened"
        arguments = call_arguments(call)
        arguments["headers"] = self._credentials.headers(call.headers)
        request = getattr(self._client, call.method)(**arguments)
        try:
            answer = await asyncio.wait_for(request, call.timeout)
        except self._failures as error:
            raise translate(error, call, self._url) from error
        return read_outputs(answer, call.places) if call.method == "infer" else answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
