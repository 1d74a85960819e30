"""The fake server and Triton, asked the same: whatever one of them does the other does too.

The tests of the real server that are imported here are run once more on the fake.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from fake_models import same_as_the_real_models
from test_async_live import test_errors, test_every_method, test_many_requests_at_once  # noqa: F401
from test_live import (  # noqa: F401
    test_a_model_that_does_not_load,
    test_a_model_that_fails,
    test_a_model_that_is_not_there,
    test_an_answer_larger_than_grpcs_usual_4_mb,
    test_another_client_unloads_and_loads,
    test_deadlines,
    test_empty_and_strided_arrays,
    test_every_dtype_comes_back,
    test_inputs_are_refused_before_anything_is_sent,
    test_models_are_listed_and_described,
    test_only_the_outputs_asked_for,
    test_readiness,
    test_scalars_and_a_model_without_batch_axis,
    test_sixteen_threads_share_one_client,
    test_statistics_count,
    test_strings_come_back_as_bytes,
    test_unload_and_load_again,
    test_versions,
    test_what_only_the_server_can_refuse_is_invalid_input_too,
)
from test_sequence import (  # noqa: F401
    test_64_threads_with_a_sequence_each,
    test_a_late_answer_breaks_the_sequence,
    test_a_version_may_be_named,
    test_an_error_of_the_callers_frees_it_too_and_is_what_is_raised,
    test_each_sequence_has_its_own_state,
    test_leaving_the_block_frees_its_place,
    test_the_asynchronous_client,
    test_the_last_request_frees_its_place,
    test_what_the_model_fails_on_leaves_the_sequence,
    test_which_models_have_sequences,
    test_wrong_inputs_leave_the_sequence,
)
from test_stream import (  # noqa: F401
    test_a_model_that_was_unloaded_since,
    test_a_model_with_one_answer_gives_one_chunk,
    test_all_chunks_in_order,
    test_errors_are_those_of_run,
    test_no_chunk_at_all,
    test_other_calls_go_on_beside_a_stream_that_nobody_reads,
)

from nosclient import Client, NosClientError


@pytest.fixture(scope="module")
def server():
    return same_as_the_real_models()


@pytest.fixture
def url(server):
    return server.url


@pytest.fixture
def grpc_url(server):
    return server.url


@pytest.fixture
def client(url):
    with Client(url, deadline=30) as client:
        yield client


@pytest.fixture(scope="module")
def both(service, server):
    """The real server's client, then the fake's."""
    with Client(service.grpc_url, deadline=30) as real, Client(server.url, deadline=30) as fake:
        real.load_model("ticker")
        yield real, fake


NAMES = ["echo", "failing", "queue", "scalar", "slow", "ticker", "totals"]


@pytest.mark.live
@pytest.mark.parametrize("name", NAMES)
def test_models_are_described_alike(both, name):
    real, fake = (client.get_model_info(name) for client in both)
    assert real == fake
    assert str(real) == str(fake)


@pytest.mark.live
def test_the_index_is_alike(both):
    real, fake = ({row.name: row for row in client.list_models()} for client in both)
    for name in NAMES:
        assert real[name] == fake[name]


@pytest.mark.live
def test_counts_are_alike(both):
    names = ["echo", "failing", "totals"]

    def asked(client):
        before = {name: client.statistics(name) for name in names}
        client.run("echo", {"int8": [[1], [2], [3]]})
        for _ in range(2):
            with pytest.raises(NosClientError):
                client.run("failing", {"x": 1})
        with client.sequence("totals") as sequence:
            sequence.run({"x": [[1]]})
        return before

    def counted(client, before):
        after = {name: client.statistics(name) for name in names}
        return {
            name: (
                after[name].inference_count - before[name].inference_count,
                after[name].success.count - before[name].success.count,
                after[name].fail.count - before[name].fail.count,
                after[name].execution_count - before[name].execution_count,
            )
            for name in names
        }

    real, fake = both
    expected = counted(fake, asked(fake))
    before, patience = asked(real), time.monotonic() + 60
    while counted(real, before) != expected and time.monotonic() < patience:
        time.sleep(0.05)  # Triton counts after it has answered
    assert counted(real, before) == expected


CALLS = {
    "answer": lambda client: client.run("scalar", {"x": 3, "text": "a", "matrix": [[1, 2]]}),
    "strings": lambda client: client.run("echo", {"string": [["é"], [b"\0"]], "bool": [[1], [0]]}),
    "half": lambda client: client.run("echo", {"fp16": np.ones((2, 0), np.float16)}),
    "failure": lambda client: client.run("failing", {"x": 1}),
    "no input": lambda client: client.run("echo", {}),
    "unknown": lambda client: client.run("minilm", {}),
    "version": lambda client: client.run("echo", {}, version=7),
    "late": lambda client: client.run("slow", {"seconds": 1}, deadline=0.2),
    "too late": lambda client: client.run("echo", {"int8": [[1]]}, deadline=0),
    "reserved": lambda client: client.run("slow", {"seconds": 0}, parameters={"timeout": 1}),
    "untyped": lambda client: client.run("slow", {"seconds": 0}, parameters={"a": None}),
    "not loaded": lambda client: client.load_model("minilm"),
    "not there": lambda client: client.unload_model("minilm"),
    "counts": lambda client: client.statistics("minilm"),
    "to be streamed": lambda client: client.run("ticker", {"n": 1}),
    "sequence": lambda client: client.run("totals", {"x": [[1]]}),
    "chunks": lambda client: list(client.stream("ticker", {"n": 2, "echo": ["a"]})),
    "one chunk": lambda client: list(
        client.stream("scalar", {"x": 3, "text": "a", "matrix": [[1, 2]]})
    ),
    "bad chunks": lambda client: list(client.stream("failing", {"x": 1})),
    "nothing to stream": lambda client: list(client.stream("echo", {})),
    "unknown stream": lambda client: list(client.stream("minilm", {})),
}


@pytest.mark.live
@pytest.mark.parametrize("case", CALLS)
def test_answers_and_errors_are_alike(both, case):
    def outcome(client):
        try:
            answer = CALLS[case](client)
        except NosClientError as error:
            return type(error), error.message.startswith("model ")
        chunks = answer if isinstance(answer, list) else [answer]
        return [
            {name: (a.dtype, a.tolist(), a.flags.writeable) for name, a in chunk.items()}
            for chunk in chunks
        ]

    real, fake = map(outcome, both)
    assert real == fake
