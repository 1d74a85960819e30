"""A host that swallows what is sent to it: no connection comes about, and no refusal either."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack

import pytest

from nosclient import AsyncClient, Client, DeadlineExceeded, ServerUnavailable


@pytest.fixture(scope="module")
def blackhole():
    """A port whose queue of connections is full: the system drops all that come."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        probe = stack.enter_context(socket.socket())
        probe.settimeout(0.5)
        try:
            probe.connect(listener.getsockname())
        except TimeoutError:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        else:
            pytest.skip("this system takes connections though its queue is full")


def error_of(kind, url, **options):
    """What a client says; an AssertionError where it says nothing in a minute."""

    async def ask():
        async with AsyncClient(url, **options) as client:
            await client.list_models()

    def main(said):
        try:
            if kind == "asynchronous":
                asyncio.run(ask())
            else:
                with Client(url, **options) as client:
                    client.list_models()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            said.append(error)

    said = []
    asking = threading.Thread(target=main, args=(said,), daemon=True)
    asking.start()
    asking.join(60)
    assert said, "it waits for ever"
    return said[0]


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_client_without_a_deadline_gives_up(blackhole, scheme, kind):
    error = error_of(kind, f"{scheme}://{blackhole}", retries=0)
    assert type(error) is ServerUnavailable
    assert not error.was_sent
    assert blackhole in error.message


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_deadline_is_kept(blackhole, scheme, kind):
    error = error_of(kind, f"{scheme}://{blackhole}", deadline=1.0)
    assert type(error) in (ServerUnavailable, DeadlineExceeded)
    assert blackhole in error.message


@pytest.mark.live
@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_another_server_is_asked(blackhole, service, kind):
    """Within the deadline: no more than half of it is spent on a connection."""

    async def main():
        async with AsyncClient(urls, deadline=20) as client:
            return [len(await client.list_models()) for _ in range(2)]

    for scheme, url in (("grpc", f"grpc://{service.grpc_url}"), ("http", service.http_url)):
        urls = [f"{scheme}://{blackhole}", url]
        if kind == "asynchronous":
            assert all(asyncio.run(main()))
        else:
            with Client(urls, deadline=20) as client:
                assert all(client.list_models() for _ in range(2))
