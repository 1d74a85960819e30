"""Traces that go on from a program to the server, seen on the way there: on real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nosclient import AsyncClient, Client, NosClientError
from nosclient.testing import FakeServer

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider():
    """OpenTelemetry takes one for the whole process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def spans():
    EXPORTER.clear()
    return EXPORTER


class Passing(grpc.GenericRpcHandler):
    """Hands every call on to the server behind it, and notes its metadata."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(target)
        self.seen = []

    def service(self, details):
        method = details.method
        self.seen.append((method.rpartition("/")[2], dict(details.invocation_metadata)))
        if method.endswith("ModelStreamInfer"):
            passed = self.channel.stream_stream(method)
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: passed(requests))
        behind = self.channel.unary_unary(method)

        def one(request, context):
            try:
                return behind(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(one)


@pytest.fixture
def grpc_seen(service):
    """The url of a way to the real server, and what passed on it."""
    handler = Passing(service.grpc_url)
    server = grpc.server(ThreadPoolExecutor(8), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", handler.seen
    server.stop(1).wait()
    handler.channel.close()


@pytest.fixture
def http_seen(service):
    """The same for HTTP: a socket before the server's, and the bytes that passed."""
    host, _, port = service.http_url.removeprefix("http://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    passed = []

    def copy(source, sink, keep):
        while piece := source.recv(65536):
            keep(piece)
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, int(port)))
            for arguments in ((near, far, passed.append), (far, near, len)):
                threading.Thread(target=copy, args=arguments, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", passed
    listener.close()


def asked(url, kind, work):
    """Runs ``work(client)`` of one client of either kind, in a span of the program's own."""

    async def asynchronous():
        async with AsyncClient(url, deadline=30) as client:
            got = work(client)
            return [chunk async for chunk in got] if hasattr(got, "__aiter__") else await got

    with trace.get_tracer("the program").start_as_current_span("work") as parent:
        if kind is AsyncClient:
            asyncio.run(asynchronous())
        else:
            with Client(url, deadline=30) as client:
                got = work(client)
                if not isinstance(got, dict):
                    list(got)
    return parent.get_span_context()


def of_client(spans):
    return [span for span in spans.get_finished_spans() if span.name != "work"]


def traceparent(context):
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@pytest.mark.live
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_grpc_carries_the_span(grpc_seen, spans, kind):
    url, seen = grpc_seen
    parent = asked(url, kind, lambda client: client.run("echo", {"int8": [[1]]}, version=1))
    (span,) = of_client(spans)
    assert (span.parent.trace_id, span.parent.span_id) == (parent.trace_id, parent.span_id)
    assert span.kind is trace.SpanKind.CLIENT
    assert span.name == "inference.GRPCInferenceService/ModelInfer"
    assert dict(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": span.name,
        "server.address": "127.0.0.1",
        "server.port": int(url.rpartition(":")[2]),
        "triton.model_name": "echo",
        "triton.model_version": "1",
    }
    (metadata,) = (metadata for method, metadata in seen if method == "ModelInfer")
    assert metadata["traceparent"] == traceparent(span.context)


@pytest.mark.live
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_stream_carries_the_span(grpc_seen, spans, kind):
    url, seen = grpc_seen
    with Client(url) as client:
        client.load_model("ticker")
    asked(url, kind, lambda client: client.stream("ticker", {"n": 3}))
    (span,) = of_client(spans)
    assert span.name == "inference.GRPCInferenceService/ModelStreamInfer"
    (metadata,) = (metadata for method, metadata in seen if method == "ModelStreamInfer")
    assert metadata["traceparent"] == traceparent(span.context)


@pytest.mark.live
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_http_carries_the_span(http_seen, spans, kind):
    url, passed = http_seen
    asked(url, kind, lambda client: client.run("echo", {"int8": [[1]]}))
    (span,) = of_client(spans)
    assert span.name == "POST /v2/models/{model}/infer"
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["url.full"] == f"{url}/v2/models/echo/infer"
    start = b"".join(passed).partition(b"POST /v2/models/echo/infer")[2].partition(b"\r\n\r\n")[0]
    assert f"traceparent: {traceparent(span.context)}".encode() in start


@pytest.mark.live
def test_a_sequence_has_a_span_for_each_request(grpc_seen, spans):
    url, seen = grpc_seen
    with Client(url) as client, client.sequence("totals") as sequence:
        sequence.run({"x": [[1]]})
        sequence.run({"x": [[1]]}, last=True)
    sent = [metadata["traceparent"] for method, metadata in seen if method == "ModelInfer"]
    assert sent == [traceparent(span.context) for span in of_client(spans)]
    assert len(sent) == 2


def test_failures_are_told(spans):
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def failing(x):
        raise ValueError("no")

    with server.client() as client:
        for name, inputs in (("failing", {"x": 1}), ("failing", {}), ("minilm", {})):
            with pytest.raises(NosClientError):
                client.run(name, inputs)
        chunks = client.stream("failing", {"x": 1})
        chunks.close()
    told = of_client(spans)
    assert [span.attributes["error.type"] for span in told] == [
        "InferenceFailed",
        "InvalidInput",
        "ModelNotFound",
        "cancelled",
    ]
    assert told[0].status.status_code is trace.StatusCode.ERROR
    assert told[0].status.description == "model 'failing' failed: ValueError: no"
    assert [request.headers["traceparent"] for request in server.requests] == [
        traceparent(told[0].context),
        traceparent(told[3].context),
    ]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_submit_and_map_are_in_the_trace_of_the_caller(spans, kind):
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def same(x):
        return {"y": x}

    tracer = trace.get_tracer("the program")

    def blocking():
        with server.client() as client:
            handle = client.model("same")
            with tracer.start_as_current_span("work") as parent:
                handle.submit(1.0).result()
                list(handle.map([1.0, 2.0, 3.0]))
            handle.submit(1.0).result()  # the same threads, outside of it
            return parent.get_span_context()

    async def asynchronous():
        async with server.async_client() as client:
            handle = await client.model("same")
            with tracer.start_as_current_span("work") as parent:
                await handle.submit(1.0)
                assert len([each async for each in handle.map([1.0, 2.0, 3.0])]) == 3
            await handle.submit(1.0)
            return parent.get_span_context()

    parent = blocking() if kind is Client else asyncio.run(asynchronous())
    *within, outside = of_client(spans)
    assert len(within) == 4
    assert {(each.parent.trace_id, each.parent.span_id) for each in within} == {
        (parent.trace_id, parent.span_id)
    }
    assert outside.parent is None


def test_a_program_that_does_not_trace_imports_nothing():
    code = (
        "import sys\n"
        "from nosclient.testing import FakeServer\n"
        "server = FakeServer()\n"
        "server.model('m', inputs={}, outputs={})(lambda: {})\n"
        "server.client().run('m', {})\n"
        "print(server.requests[0].headers, 'opentelemetry' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "{} False\n"
