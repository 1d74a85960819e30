"""What comes back from a real Triton through the embedded ONNX Runtime backend."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from tritonclient.utils import InferenceServerException


def together(jobs):
    """Runs the jobs at the same time; a result or the exception of each, in order."""

    def outcome(job):
        try:
            return job()
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(outcome, jobs))


def workers(service):
    return {child.pid for child in psutil.Process(service.pid).children()}


def test_every_model_is_ready(service):
    assert service.models() == [
        "add_one",
        "gathered",
        "in_python",
        "lookup",
        "ragged",
        "scalar",
        "scalar_items",
        "text",
        "unbatched",
    ]
    assert service.failures == {}
    lines = repr(service).splitlines()
    assert len(lines) == 2
    assert service.grpc_url in lines[0]
    assert str(service.repository) in lines[1]


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_batch_comes_back_as_it_was_sent(call, batch):
    x = np.random.default_rng(batch).normal(size=(batch, 4)).astype(np.float32)
    np.testing.assert_array_equal(call("add_one", x=x)["y"], x + 1)


def test_a_batch_above_the_maximum_is_refused(call):
    with pytest.raises(InferenceServerException, match="16"):
        call("add_one", x=np.zeros((17, 4), np.float32))


def test_requests_in_flight_are_joined_and_each_gets_its_own_rows(call, counts):
    before = counts("in_python")
    rows = [np.full((1, 1), i, np.float32) for i in range(16)]
    answers = together([lambda x=x: call("in_python", x=x)["y"] for x in rows])
    np.testing.assert_array_equal(np.concatenate(answers), 2 * np.concatenate(rows))
    assert (counts("in_python", before[0] + 16) - before).tolist() == [16, 1]


def test_mixed_sizes_in_flight_are_one_batch(call, counts):
    before = counts("gathered")
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(size, 5)).astype(np.float32) for size in (1, 2, 3, 1, 2, 3, 1, 3)]
    answers = together([lambda x=x: call("gathered", x=x) for x in inputs])
    for x, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], x)
        np.testing.assert_array_equal(answer["n"], -x)
    assert (counts("gathered", before[0] + 16) - before).tolist() == [16, 1]


def test_mixed_sizes_and_widths_in_flight_are_all_answered_right(call, counts):
    """Triton parts what follows each other with another width: how much it joins is luck."""
    before = counts("ragged")
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(1 + i % 3, 2 + i % 2)).astype(np.float32) for i in range(24)]
    answers = together([lambda x=x: call("ragged", x=x) for x in inputs])
    for x, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], x)
        np.testing.assert_array_equal(answer["n"], -x)
    items = sum(len(x) for x in inputs)
    assert (counts("ragged", before[0] + items) - before)[0] == items


def test_only_the_outputs_asked_for_come_back(call):
    x = np.ones((2, 3), np.float32)
    answer = call("ragged", outputs=["n"], x=x)
    assert list(answer) == ["n"]
    np.testing.assert_array_equal(answer["n"], -x)


def test_requests_for_different_outputs_can_share_a_batch(call):
    x = np.ones((1, 5), np.float32)
    wanted = [["y"], ["n"], ["y", "n"]] * 4
    answers = together([lambda names=names: call("ragged", outputs=names, x=x) for names in wanted])
    assert [sorted(answer) for answer in answers] == [sorted(names) for names in wanted]


def test_strings_come_back_byte_for_byte(call):
    x = np.array([["plain", "ümlaut", "", "日本語"], ["a\x00b", "\n", "🙂", " "]], dtype=object)
    y = call("text", x=x)["y"]
    assert y.shape == x.shape
    assert [item.decode() for item in y.reshape(-1)] == list(x.reshape(-1))


def test_bytes_that_are_no_text_fail_alone(call):
    good = np.array([["fine"]], dtype=object)
    bad = np.array([[b"\xff\xfe"]], dtype=object)
    answers = together([lambda x=x: call("text", x=x) for x in [good, bad, good, good]])
    assert "input 'x': element 0 is not UTF-8" in str(answers[1])
    for answer in (answers[0], answers[2], answers[3]):
        assert answer["y"].tolist() == [[b"fine"]]


def test_a_scalar_goes_both_ways(call):
    np.testing.assert_array_equal(call("scalar", x=np.array([3], np.float32))["y"], [-3])


def test_items_without_axes_are_batched(call):
    x = np.arange(5, dtype=np.float32).reshape(5, 1)
    np.testing.assert_array_equal(call("scalar_items", x=x)["y"], -x)


def test_a_model_without_batch_axis_answers_each_request_by_itself(call):
    inputs = [np.full((2, width), width, np.float32) for width in range(1, 9)]
    answers = together([lambda x=x: call("unbatched", x=x)["y"] for x in inputs])
    assert [float(answer[0]) for answer in answers] == [2.0 * w * w for w in range(1, 9)]


def test_a_request_that_fails_leaves_its_neighbours_and_the_worker_alone(call, counts, service):
    before, pids = counts("lookup"), workers(service)
    indices = [0, 1, 2, 99, 4, 5, 6, 7]
    rows = [np.array([[index]], np.int64) for index in indices]
    answers = together([lambda x=x: call("lookup", x=x) for x in rows])
    for index, answer in zip(indices, answers, strict=True):
        if index == 99:
            assert "out of data bounds" in str(answer)  # ONNX Runtime's own words
        else:
            assert answer["y"].tolist() == [[10.0 * index]]
    executions = (counts("lookup", before[0] + 7) - before)[1]
    assert executions < len(indices), "the requests did not share a batch; nothing was tested"
    assert workers(service) == pids
    assert call("lookup", x=np.repeat(rows[1], 8, 0))["y"].tolist() == [[10.0]] * 8


def test_models_are_unloaded_and_loaded_again(service, grpc):
    service.unload_model("scalar")
    assert "scalar" not in service.models()
    service.load_model("scalar")
    assert "scalar" in service.models()


def test_the_server_runs_its_own_numpy_whatever_the_caller_has(service):
    worker = psutil.Process(next(iter(workers(service))))
    mapped = {entry.path for entry in worker.memory_maps() if "numpy" in entry.path}
    assert mapped
    assert all("/server/" in path for path in mapped)
