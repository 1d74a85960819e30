"""Sequences keep their states, apart from each other, with the config that Triton documents."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import stateful_models
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from nosbuild.runtime import serve


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    repository = tmp_path_factory.mktemp("stateful")
    for model in stateful_models.ALL:
        model(repository)
    with serve(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(service):
    with triton.InferenceServerClient(service.grpc_url) as client:
        yield client


@pytest.fixture
def step(client):
    """``step(model, id, x, start=..., end=...)`` -> y."""

    def send(model, identity, x, outputs=("y",), **flags):
        entry = triton.InferInput("x", x.shape, np_to_triton_dtype(x.dtype))
        entry.set_data_from_numpy(x)
        wanted = [triton.InferRequestedOutput(name) for name in outputs]
        named = {f"sequence_{name}": value for name, value in flags.items()}
        result = client.infer(model, [entry], sequence_id=identity, outputs=wanted, **named)
        found = [result.as_numpy(name) for name in outputs]
        return found[0] if len(outputs) == 1 else found

    return send


def row(number):
    return np.full((1, 4), number, np.float32)


def tallied(step, model, identity, numbers):
    """Totals as one sequence gives them, from its start to its end."""
    last = len(numbers) - 1
    return [
        float(step(model, identity, row(x), start=i == 0, end=i == last)[0, 0])
        for i, x in enumerate(numbers)
    ]


@pytest.mark.parametrize("model", ["tally", "tally_direct", "tally_two_instances"])
def test_two_sequences_in_flight_do_not_mix(step, model):
    for turn in range(4):
        one = step(model, 1, row(1), start=turn == 0, end=turn == 3)
        two = step(model, "two", row(10), start=turn == 0, end=turn == 3)
        assert one[0, 0] == turn + 1
        assert two[0, 0] == 10 * (turn + 1)


@pytest.mark.parametrize("model", ["tally", "tally_direct", "tally_two_instances"])
def test_64_concurrent_sequences_keep_apart(step, model, client):
    seeds = range(1, 65)
    numbers = {seed: random.Random(seed).choices(range(1000), k=12) for seed in seeds}
    with ThreadPoolExecutor(len(seeds)) as pool:
        found = pool.map(lambda seed: tallied(step, model, seed, numbers[seed]), seeds)
        answers = dict(zip(seeds, found, strict=True))
    for seed in seeds:
        assert answers[seed] == list(np.cumsum(numbers[seed])), seed
    (counted,) = client.get_inference_statistics(model, as_json=True)["model_stats"]
    # They were joined: otherwise this says nothing of the states in a batch.
    assert int(counted["execution_count"]) < int(counted["inference_count"])


def test_a_start_begins_anew_under_the_same_id(step):
    step("tally", 5, row(1), start=True)
    assert step("tally", 5, row(2), start=True)[0, 0] == 2
    assert step("tally", 5, row(3), end=True)[0, 0] == 5
    assert step("tally", 5, row(4), start=True, end=True)[0, 0] == 4


def test_states_that_grow_are_not_joined_with_others(step):
    for turn in range(5):
        y, seen = step("history", 1, row(1)[:, :1], ("y", "seen_next"), start=turn == 0)
        assert seen.tolist() == [[0.0] + [1.0] * (turn + 1)]
        assert y[0, 0] == turn + 1
    # Another sequence is at its second step while the first is at its sixth.
    step("history", 2, row(7)[:, :1], start=True)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda id: step("history", id, row(1)[:, :1], end=True), (1, 2))
    assert (first[0, 0], second[0, 0]) == (6, 8)


def test_a_state_of_strings_and_without_a_batch(step):
    words = ["first", "zweites", "третье"]
    found = []
    for turn, word in enumerate(words):
        x = np.array([word.encode()], dtype=object)
        found.append(step("last_word", 3, x, start=turn == 0, end=turn == 2)[0].decode())
    assert found == ["", *words[:2]]


def test_an_initial_state_from_a_file(step):
    one = np.array([1], np.int64)
    assert [int(step("from_seven", 4, one, start=turn == 0)[0]) for turn in range(3)] == [8, 9, 10]


def test_a_failed_step_leaves_the_state_as_it_was(step):
    """Also where it was joined with others, which go on as if nothing had happened."""
    x, wrong = np.array([[3]], np.int64), np.array([[99]], np.int64)
    assert step("lookup", 1, x, start=True)[0, 0] == 30
    assert step("lookup", 2, x, start=True)[0, 0] == 30
    barrier = threading.Barrier(2)

    def together(identity, array):
        barrier.wait()
        return step("lookup", identity, array)

    with ThreadPoolExecutor(2) as pool:
        bad, good = pool.submit(together, 1, wrong), pool.submit(together, 2, x)
        assert good.result()[0, 0] == 60
        with pytest.raises(InferenceServerException, match="indices element out of data bounds"):
            bad.result()
    assert step("lookup", 1, x)[0, 0] == 60
    assert step("lookup", 2, x, end=True)[0, 0] == 90
    # A first step that failed leaves the initial state.
    with pytest.raises(InferenceServerException, match="out of data bounds"):
        step("lookup", 3, wrong, start=True)
    assert step("lookup", 3, x, end=True)[0, 0] == 30


def test_an_idle_sequence_is_forgotten(step):
    assert step("tally_short", 1, row(1), start=True)[0, 0] == 1
    time.sleep(1.5)
    with pytest.raises(
        InferenceServerException, match=r"sequence 1 .* must specify the START flag"
    ):
        step("tally_short", 1, row(1))


def test_a_sequence_that_lasts_longer_than_the_limit_is_not(step):
    for turn in range(6):
        y = step("tally_two_seconds", 2, row(1), start=turn == 0, end=turn == 5)
        assert y[0, 0] == turn + 1
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("identity", "flags", "message"),
    [
        (0, {"start": True}, "must specify a non-zero or non-empty correlation ID"),
        (77, {}, "sequence 77 to model 'tally' must specify the START flag"),
    ],
)
def test_what_is_no_sequence_is_refused(step, identity, flags, message):
    with pytest.raises(InferenceServerException, match=message):
        step("tally", identity, row(1), **flags)


def test_a_reloaded_model_knows_no_sequence(step, client):
    step("tally_direct", 9, row(1), start=True)
    client.unload_model("tally_direct")
    until = time.monotonic() + 30
    while client.is_model_ready("tally_direct"):
        assert time.monotonic() < until
        time.sleep(0.05)
    client.load_model("tally_direct")
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        step("tally_direct", 9, row(1))


@pytest.mark.parametrize(
    ("model", "last"), [("wide", 3), ("wide_short", 1)], ids=["ended", "forgotten"]
)
def test_states_of_sequences_that_are_over_take_no_memory(service, step, model, last):
    """800 of 64 kB each: were they kept, the worker would grow by 38 MB after the first 200.

    Those that are forgotten soon make one step: no machine is too slow for a second one.
    """
    (worker,) = [
        process
        for process in psutil.Process(service.process.pid).children(recursive=True)
        if f"{model}_0_0" in process.cmdline()
    ]
    one = np.ones((1, 1), np.float32)

    def run(identity):
        for turn in range(1, last + 1):
            y = step(model, identity, one, start=turn == 1, end=turn == 3)
        return y[0, 0]

    with ThreadPoolExecutor(8) as pool:
        for turn in range(4):
            identities = range(1 + 200 * turn, 1 + 200 * (turn + 1))
            assert set(pool.map(run, identities)) == {last}
            if model == "wide_short":
                time.sleep(2)  # longer than the limit, and than the worker looks for idle ones
            if turn == 0:
                before = worker.memory_info().rss
    patience = time.monotonic() + 30
    while (grown := worker.memory_info().rss - before) >= 16_000_000:
        assert time.monotonic() < patience, grown
        time.sleep(0.1)
