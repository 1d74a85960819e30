"""HTTP answers that are not Triton's, from a real server: what a proxy or a wrong port may say."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nosclient import (
    AsyncClient,
    Client,
    ModelNotFound,
    ModelNotReady,
    ServerError,
    ServerUnavailable,
)

LENGTH = "Inference-Header-Content-Length"
PAGE = b"<html><head><title>502 Bad Gateway</title></head>\n<body>nginx " + 500 * b"x" + b"</body>"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
OUTPUT = {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
DATA = np.array([1, 2], np.float32).tobytes()


def body(data):
    return json.dumps(data).encode()


HEAD = body({"model_name": "m", "outputs": [OUTPUT]})
GOOD = {
    "/v2": (200, {}, body({"name": "triton", "version": "2.51.0", "extensions": []})),
    "/v2/health/live": (200, {}, b""),
    "/v2/health/ready": (200, {}, b""),
    "/v2/models/m/ready": (200, {}, b""),
    "/v2/models/m": (
        200,
        {},
        body({"name": "m", "versions": ["1"], "inputs": [TENSOR], "outputs": [TENSOR]}),
    ),
    "/v2/models/m/config": (200, {}, body({"name": "m", "max_batch_size": 8})),
    "/v2/models/m/stats": (200, {}, body({"model_stats": [{"name": "m", "inference_count": 3}]})),
    "/v2/repository/index": (200, {}, body([{"name": "m", "version": "1", "state": "READY"}])),
    "/v2/repository/models/m/load": (200, {}, b""),
    "/v2/repository/models/m/unload": (200, {}, b""),
    "/v2/models/m/infer": (200, {LENGTH: str(len(HEAD))}, HEAD + DATA),
}
# What is called -> the path whose answer it needs.
CALLS = {
    "get_service_info": ("/v2", ()),
    "is_healthy": ("/v2/health/live", ()),
    "is_ready": ("/v2/health/ready", ()),
    "get_model_info": ("/v2/models/m", ("m",)),
    "model": ("/v2/models/m/config", ("m",)),
    "statistics": ("/v2/models/m/stats", ("m",)),
    "list_models": ("/v2/repository/index", ()),
    "load_model": ("/v2/repository/models/m/load", ("m",)),
    "unload_model": ("/v2/repository/models/m/unload", ("m",)),
    "run": ("/v2/models/m/infer", ("m", {"x": [[1, 2]]})),
}


@contextmanager
def serving(**instead):
    """A server that says what Triton would, but for the paths named."""
    answers = {**GOOD, **instead}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url, kind, method, *arguments):
    if kind == "blocking":
        with Client(url, deadline=20, retries=0) as client:
            return getattr(client, method)(*arguments)

    async def main():
        async with AsyncClient(url, deadline=20, retries=0) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(main())


@pytest.fixture(params=["blocking", "asynchronous"])
def kind(request):
    return request.param


@pytest.mark.parametrize("method", CALLS)
def test_what_triton_would_say_is_understood(kind, method):
    with serving() as url:
        found = ask(url, kind, method, *CALLS[method][1])
    if method == "run":
        assert found["y"].tolist() == [[1, 2]]
    if method.startswith("is_"):
        assert found is True


NOT_JSON = [PAGE, b"[{", b"\x89PNG\r\n\0\0", b'{"name":', b"\xff" * 500]
OTHER_JSON = [b'"x"', b"[1]", b"null"]
READ = [method for method in CALLS if not method.startswith("is_") and "load" not in method]


@pytest.mark.parametrize(
    ("method", "content"),
    [*itertools.product(CALLS, NOT_JSON), *itertools.product(READ, OTHER_JSON)],
)
def test_a_200_that_is_not_tritons(kind, method, content):
    path, arguments = CALLS[method]
    with (
        serving(**{path: (200, {}, content)}) as url,
        pytest.raises(ServerError, match=f"{url} answered") as caught,
    ):
        ask(url, kind, method, *arguments)
    message = caught.value.message
    assert "what no Triton server says" in message
    assert message.isprintable()
    assert len(message) < 700
    if content.isascii():
        assert content[:20].decode() in message


@pytest.mark.parametrize("method", READ)
def test_an_empty_200(kind, method):
    path, arguments = CALLS[method]
    with (
        serving(**{path: (200, {}, b"")}) as url,
        pytest.raises(ServerError, match="an empty response"),
    ):
        ask(url, kind, method, *arguments)


@pytest.mark.parametrize("method", [m for m in CALLS if not m.startswith("is_")])
@pytest.mark.parametrize(
    ("status", "error"), [(502, ServerUnavailable), (503, ServerUnavailable), (404, ServerError)]
)
def test_a_proxys_page(kind, method, status, error):
    path, arguments = CALLS[method]
    if method == "run" and error is ServerUnavailable:
        error = ModelNotReady  # the server says that it is live
    with (
        serving(**{path: (status, {}, PAGE)}) as url,
        pytest.raises(error, match="<html><head><title>502 Bad Gateway") as caught,
    ):
        ask(url, kind, method, *arguments)
    assert url in caught.value.message
    assert len(caught.value.message) < 400


def test_tritons_own_404_is_no_page(kind):
    unknown = (404, {}, body({"error": "Request for unknown model: 'm' is not found"}))
    index = (200, {}, body([]))
    with (
        serving(**{"/v2/models/m": unknown, "/v2/repository/index": index}) as url,
        pytest.raises(ModelNotFound),
    ):
        ask(url, kind, "get_model_info", "m")


def infer_answer(outputs, length=0, data=DATA):
    head = body({"model_name": "m", "outputs": outputs})
    return (200, {LENGTH: str(len(head) + length)}, head + data)


@pytest.mark.parametrize(
    "reply",
    [
        (200, {}, HEAD + DATA),  # the header lacks
        (200, {LENGTH: "abc"}, HEAD + DATA),
        (200, {LENGTH: "-1"}, HEAD + DATA),
        (200, {LENGTH: "5"}, HEAD + DATA),
        (200, {LENGTH: str(len(HEAD) + 3)}, HEAD + DATA),
        infer_answer([OUTPUT], data=DATA[:3]),
        infer_answer([OUTPUT], data=b""),
        infer_answer([{**OUTPUT, "shape": [1, 3]}]),
        infer_answer([{**OUTPUT, "datatype": "FP33"}]),
        infer_answer([{**OUTPUT, "datatype": "BYTES"}]),
        infer_answer([{"name": "y"}]),
        infer_answer([{**OUTPUT, "parameters": {}}]),
        infer_answer({"y": 1}),
        (200, {}, body({"model_name": "m"})),
        (200, {}, body({"model_name": "m", "outputs": [{**TENSOR, "data": ["a"]}]})),
        (200, {"Content-Encoding": "gzip", LENGTH: str(len(HEAD))}, HEAD + DATA),
    ],
)
def test_an_inference_that_was_changed_on_its_way(kind, reply):
    with (
        serving(**{"/v2/models/m/infer": reply}) as url,
        pytest.raises((ServerError, ServerUnavailable), match=url),
    ):
        ask(url, kind, "run", "m", {"x": [[1, 2]]})
