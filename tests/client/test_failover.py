"""Several real servers, of which some are killed, and what Triton says in all its words."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from counters import counted, quiet
from tritonclient.utils import InferenceServerException

from nosbuild import serve
from nosclient import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    SequenceEnded,
    ServerUnavailable,
)
from nosclient._error_map import GRPC, HTTP, TRITON

pytestmark = pytest.mark.live

MODELS = ["echo", "patient", "queue", "refusing", "ticker", "totals"]
ECHO = {"int8": [[1]]}
SCALAR = {"x": 3, "text": "word", "matrix": [[1, 2]]}


class Server:
    """Triton on ports that it keeps over a restart."""

    def __init__(self, folder):
        self.repository = folder / "models"
        shutil.copytree(Path(__file__).parent / "models", self.repository)
        self.at_work = self.repository / "patient" / "at_work"
        self._ports = {"http_port": 0, "grpc_port": 0}
        self.start()

    def start(self):
        self._service = serve(
            self.repository,
            models=MODELS,
            metrics_port=0,
            triton_options=["--strict-readiness=false"],
            announce=False,
            **self._ports,
        )
        self.urls = {"grpc": f"grpc://{self._service.grpc_url}", "http": self._service.http_url}
        self._ports = {
            f"{name}_port": int(url.rpartition(":")[2]) for name, url in self.urls.items()
        }

    @property
    def is_running(self):
        return self._service.is_running

    def kill(self):
        os.kill(self._service.pid, signal.SIGKILL)
        self._service.stop()

    def stop(self):
        self._service.stop()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    servers = [Server(folder / name) for name in ("one", "two")]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def pair(both):
    """Two servers; that which the test before ended was started again."""
    for server in both:
        if not server.is_running:
            server.start()
    return both


@pytest.fixture(params=["grpc", "http"])
def protocol(request):
    return request.param


def done_by(server, protocol):
    with Client(server.urls[protocol], deadline=20) as client:
        return client.statistics("echo").inference_count


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_no_request_is_lost_when_a_server_ends_and_it_comes_back(pair, protocol, end):
    stop = threading.Event()
    sent, answered, failures = [0] * 16, [0] * 16, []
    client = Client([server.urls[protocol] for server in pair], deadline=60)

    def work(number):
        while not stop.is_set():
            value = np.full((1, 3), number * 1_000_000 + sent[number], np.int64)
            sent[number] += 1
            try:
                back = client.run("echo", {"int64": value})["int64_out"]
            except Exception as error:  # noqa: BLE001  # all are counted
                failures.append(repr(error))
            else:
                answered[number] += bool((back == value).all())

    def until(condition):
        ends = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < ends, failures
            time.sleep(0.05)

    with client, ThreadPoolExecutor(16) as pool:
        so_far = [done_by(server, protocol) for server in pair]
        working = [pool.submit(work, number) for number in range(16)]
        try:
            until(
                lambda: all(
                    done_by(server, protocol) > count + 50
                    for server, count in zip(pair, so_far, strict=True)
                )
            )
            end(pair[1])
            before = sum(answered)
            until(lambda: sum(answered) > before + 300)
            pair[1].start()
            until(lambda: done_by(pair[1], protocol) > 50)
        finally:
            stop.set()
        for each in working:
            each.result()
    assert failures == []
    assert answered == sent


def test_a_server_that_hangs_costs_one_deadline(pair, protocol, caplog):
    urls = [server.urls[protocol] for server in pair]
    hung = pair[1]._service.pid
    with Client(urls, deadline=2.0) as client:
        for _ in range(4):
            client.run("echo", ECHO)
        os.kill(hung, signal.SIGSTOP)
        try:
            outcomes = []
            for _ in range(12):
                try:
                    client.run("echo", ECHO)
                    outcomes.append("ok")
                except DeadlineExceeded:
                    outcomes.append("late")
        finally:
            os.kill(hung, signal.SIGCONT)
        assert outcomes.count("late") == 1, outcomes
        told = [each.getMessage() for each in caplog.records if each.name == "nosclient"]
        assert [text.startswith(f"{urls[1]} is given no requests") for text in told] == [True]
        ends = time.monotonic() + 60
        while len(caplog.records) < 2:
            assert time.monotonic() < ends
            client.run("echo", ECHO)
            time.sleep(0.02)
        assert caplog.records[1].getMessage().startswith(f"{urls[1]} answers again")


def test_the_asynchronous_client_loses_none_either(pair, protocol):
    async def main():
        urls = [server.urls[protocol] for server in pair]
        async with AsyncClient(urls, deadline=60) as client:
            for turn in range(6):
                asked = [client.run("echo", {"int64": [[number]]}) for number in range(50)]
                if turn == 2:
                    tasks = [asyncio.ensure_future(each) for each in asked]
                    await asyncio.sleep(0.01)
                    await asyncio.to_thread(pair[0].kill)
                    got = await asyncio.gather(*tasks)
                else:
                    got = await asyncio.gather(*asked)
                assert [each["int64_out"].item() for each in got] == list(range(50))
            assert repr(client) == f"AsyncClient({urls})"

    asyncio.run(main())


def test_a_server_restarts_under_its_client(pair, protocol):
    with Client(pair[0].urls[protocol], deadline=30) as client:
        assert client.run("echo", ECHO)["int8_out"].item() == 1
        pair[0].kill()
        for _ in range(2):
            with pytest.raises(ServerUnavailable, match="is the server running") as caught:
                client.run("echo", ECHO)
        assert not caught.value.was_sent
        pair[0].start()
        client.wait_until_ready(model="echo")
        assert client.run("echo", ECHO)["int8_out"].item() == 1


def test_a_model_that_one_server_lacks(pair, protocol):
    with Client([server.urls[protocol] for server in pair], deadline=30) as client:
        client.load_model("scalar")
        alone = [Client(server.urls[protocol], deadline=30) for server in pair]
        assert all(each.is_ready("scalar") for each in alone)
        alone[0].unload_model("scalar")
        while alone[0].is_ready("scalar"):
            time.sleep(0.05)
        assert not client.is_ready("scalar")
        with pytest.raises(DeadlineExceeded) as caught:
            client.wait_until_ready(0.5, "scalar")
        url = pair[0].urls[protocol]
        told = rf"waited 0.5 s for model 'scalar': {url}: it is (not loaded|UNLOADING)"
        assert re.fullmatch(told, str(caught.value)), caught.value
        for _ in range(20):
            assert client.run("scalar", SCALAR)["doubled"].item() == 6
        client.unload_model("scalar")
        while any(each.is_ready("scalar") for each in alone):
            time.sleep(0.05)
        with pytest.raises(ModelNotReady, match=r"load it with load_model\('scalar'\)"):
            client.run("scalar", SCALAR)
        with pytest.raises(ModelNotFound, match="'minilm'"):
            client.run("minilm", {})
        expected = quiet(client, "echo").inference_count + 2
        client.run("echo", ECHO)
        client.run("echo", ECHO)
        after = counted(client, "echo", lambda now: now.inference_count >= expected)
        assert after.inference_count == expected
        pair[1].kill()
        with pytest.raises(ServerUnavailable, match=f"done at {pair[0].urls[protocol]}$"):
            client.load_model("scalar")
        assert client.is_ready("scalar")
        for each in alone:
            each.close()


@pytest.fixture
def one_lacks_scalar(pair, tmp_path):
    """The two servers; the second one's repository is without a model for the time being."""
    away = (pair[1].repository / "scalar").rename(tmp_path / "scalar")
    yield pair
    away.rename(pair[1].repository / "scalar")


def test_servers_whose_repositories_differ(one_lacks_scalar, protocol):
    pair = one_lacks_scalar
    urls = [server.urls[protocol] for server in pair]
    alone = Client(urls[0], deadline=30)

    def until_unloaded():
        while alone.is_ready("scalar"):
            time.sleep(0.05)

    with alone, Client(urls, deadline=30) as client, Client(urls[::-1], deadline=30) as reverse:
        for each in (client, reverse):
            # The repository's index comes from either: none of them may be the one that decides.
            for _ in range(4):
                with pytest.raises(ModelLoadFailed) as caught:
                    each.load_model("scalar")
                assert caught.value.message.startswith(f"{urls[1]}: model 'scalar'")
                assert caught.value.message.endswith(f"; load_model was done at {urls[0]}")
                assert alone.is_ready("scalar")
                each.unload_model("scalar")
                until_unloaded()
            with pytest.raises(ModelNotFound, match="no model 'nope' to unload"):
                each.unload_model("nope")
            with pytest.raises(ModelLoadFailed) as caught:
                each.load_model("nope")
            assert all(f"{url}: model 'nope' could not" in caught.value.message for url in urls)
            assert caught.value.message.endswith("done at none of the servers")
        alone.load_model("scalar")
        pair[1].kill()
        for each in (client, reverse):
            with pytest.raises(ServerUnavailable) as failed:
                each.load_model("scalar")
            assert failed.value.message.count(urls[1]) == 1
            assert failed.value.message.endswith(f"; load_model was done at {urls[0]}")
            with pytest.raises(ServerUnavailable, match=f"unload_model was done at {urls[0]}$"):
                each.unload_model("scalar")
            until_unloaded()
        pair[0].kill()
        with pytest.raises(ServerUnavailable):
            client.unload_model("scalar")


def test_streams_begin_elsewhere_but_never_go_on_there(pair):
    urls = [server.urls["grpc"] for server in pair]
    with Client(urls, deadline=30) as client:
        open_ones = [client.stream("ticker", {"n": [50], "seconds": [0.1]}) for _ in range(2)]
        first = [next(stream)["tick"].item() for stream in open_ones]
        assert first[0] == first[1]
        pair[0].kill()
        results = []
        for stream in open_ones:
            try:
                results.append(1 + len(list(stream)))
            except ServerUnavailable:
                results.append("lost")
        assert sorted(map(str, results)) == ["50", "lost"]
        for _ in range(6):
            assert len(list(client.stream("ticker", {"n": [3]}))) == 3

    async def main():
        async with AsyncClient(urls, deadline=30) as client:
            for _ in range(6):
                assert len([chunk async for chunk in client.stream("ticker", {"n": [3]})]) == 3

    asyncio.run(main())


def test_sequences_stay_where_they_began(pair, protocol):
    with Client([server.urls[protocol] for server in pair], deadline=30) as client:
        sequences = [client.sequence("totals") for _ in range(4)]
        for turn in range(1, 4):
            for sequence in sequences:
                assert sequence.run({"x": [1]})["total"].item() == turn
        pair[0].kill()
        ended = 0
        for sequence in sequences:
            try:
                assert sequence.run({"x": [1]})["total"].item() == 4
            except ServerUnavailable:
                ended += 1
                with pytest.raises(SequenceEnded):
                    sequence.run({"x": [1]})
        assert ended == 2
        for _ in range(4):
            with client.sequence("totals") as sequence:
                assert sequence.run({"x": [5]})["total"].item() == 5


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("errors"))
    yield server
    server.stop()


def test_every_code_of_tritons_is_known(server):
    expected = {
        "UNKNOWN": (InferenceFailed, InvalidInput),
        "INTERNAL": (InferenceFailed, InferenceFailed),
        "NOT_FOUND": (InferenceFailed, InferenceFailed),
        "INVALID_ARG": (InvalidInput, InvalidInput),
        "UNAVAILABLE": (ModelNotReady, ModelNotReady),
        "UNSUPPORTED": (InferenceFailed, InferenceFailed),
        "ALREADY_EXISTS": (InferenceFailed, InvalidInput),
        "CANCELLED": (InferenceFailed, InvalidInput),
    }
    for place, protocol in enumerate(("grpc", "http")):
        with Client(server.urls[protocol], deadline=30) as client:
            codes = [code.decode() for code in client.run("refusing", {"code": ""})["codes"]]
            assert set(codes) == set(TRITON)
            for code in codes:
                with pytest.raises(expected[code][place], match="as it was told to") as caught:
                    client.run("refusing", {"code": code})
                cause = caught.value
                while not isinstance(cause, (InferenceServerException, grpc.RpcError)):
                    cause = cause.__cause__
                status = cause.code() if isinstance(cause, grpc.RpcError) else cause.status()
                sent = str(status).removeprefix("StatusCode.")
                assert sent == TRITON[code][place]
                assert sent in (GRPC, HTTP)[place]


def test_a_request_whose_time_is_over_is_dropped_from_the_queue(server, protocol):
    url = server.urls[protocol]
    with Client(url, deadline=30) as client, ThreadPoolExecutor(1) as pool:
        before = quiet(client, "patient")
        busy = pool.submit(client.run, "patient", {"seconds": [[1.5]]})
        while not server.at_work.exists():
            assert not busy.done()
            time.sleep(0.01)
        with pytest.raises(DeadlineExceeded):
            client.run("patient", {"seconds": [[0.5]]}, deadline=0.5)
        busy.result()
        client.run("patient", {"seconds": [[0]]})  # behind it in the queue
        after = counted(
            client,
            "patient",
            lambda now: (
                now.inference_count >= before.inference_count + 2
                and now.fail.count > before.fail.count
            ),
        )
    assert after.inference_count - before.inference_count == 2
    assert after.fail.count - before.fail.count == 1


def test_an_answer_larger_than_the_limit(server, monkeypatch):
    import nosclient._transport_grpc as transport

    small = {**dict(transport._CHANNEL), "grpc.max_receive_message_length": 10_000}
    monkeypatch.setattr(transport, "_CHANNEL", list(small.items()))
    large = {"fp32": np.zeros((1, 10_000), np.float32)}

    async def main():
        async with AsyncClient(server.urls["grpc"], deadline=30) as client:
            await client.run("echo", large)

    with Client(server.urls["grpc"], deadline=30) as client:
        with pytest.raises(MessageTooLarge, match="the answer of 'echo'"):
            client.run("echo", large)
        assert client.run("echo", ECHO)["int8_out"].item() == 1
    with pytest.raises(MessageTooLarge, match=r'send fewer items .*shared_memory="auto"'):
        asyncio.run(main())


def test_a_full_queue_is_told(server, protocol):
    with Client(server.urls[protocol], deadline=30) as client, ThreadPoolExecutor(8) as pool:
        before = quiet(client, "queue")
        asked = [pool.submit(client.run, "queue", {"seconds": [[0.5]]}) for _ in range(8)]
        refused = [each.exception() for each in asked if each.exception()]
        expected = before.inference_count + 8 - len(refused)
        after = counted(client, "queue", lambda now: now.inference_count >= expected)
    assert refused
    assert {type(error) for error in refused} == {ModelNotReady}
    assert "its queue is full" in str(refused[0])
    assert after.inference_count == expected
