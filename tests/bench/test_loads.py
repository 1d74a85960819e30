"""Loads on a real Triton: what bench says is what the server counted."""

import os
import signal
import threading
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import tritonclient.grpc

import nosbuild
from nosbuild.bench import Level, bench

pytestmark = pytest.mark.live


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_request_is_one_that_the_server_counted(service, protocol):
    url = service.grpc_url if protocol == "grpc" else service.http_url
    options = {"duration": 1.0, "warmup": 0.0, "processes": 2, "repository": service.repository}
    with service.client() as client:
        before = client.statistics("linear")
        (level,) = bench(url, "linear", [Level(concurrency=6)], **options).levels
        after = client.statistics("linear")
    assert level.processes == 2
    assert level.sent == level.answered == after.success.count - before.success.count > 0
    assert level.server.requests == level.server.items == level.answered
    assert not level.failed
    assert not level.notes
    runs = level.server.executions_by_batch_size
    assert sum(runs.values()) == level.server.executions
    assert sum(size * count for size, count in runs.items()) == level.server.items


def test_the_warm_up_is_not_counted(service, measure):
    with service.client() as client:
        before = client.statistics("linear")
        (level,) = measure("linear", Level(concurrency=2), duration=0.5, warmup=0.5).levels
        after = client.statistics("linear")
    assert level.server.requests == level.answered < after.success.count - before.success.count


def test_batching_shows_in_the_histogram(measure):
    alone, together = measure("linear", Level(concurrency=1), Level(concurrency=16)).levels
    assert set(alone.server.executions_by_batch_size) == {1}
    assert max(together.server.executions_by_batch_size) > 1
    assert together.server.executions < together.server.requests
    assert together.server.items_a_run > 1


def test_a_batch_counts_its_items(measure):
    found = measure("linear", Level(concurrency=2), batch=4)
    (level,) = found.levels
    assert level.server.items == 4 * level.answered
    assert level.items_per_second == pytest.approx(4 * level.requests_per_second)
    assert found.inputs == "12 golden samples, joined to batches of 4"


def test_golden_samples_where_there_are_some_and_random_inputs_otherwise(
    measure, monkeypatch, tmp_path
):
    built = measure("linear", Level(concurrency=1), duration=0.2)
    assert built.real_inputs
    assert built.inputs == "12 golden samples"
    by_hand = measure("slow", Level(concurrency=1), duration=0.2)
    assert not by_hand.real_inputs
    assert by_hand.inputs == "random inputs (it has no golden samples)"
    found = measure("linear", Level(concurrency=1), duration=0.2, repository=None)
    assert found.real_inputs  # that of the server of this machine at the url
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path))  # where nobody knows that server
    elsewhere = measure("linear", Level(concurrency=1), duration=0.2, repository=None)
    assert not elsewhere.real_inputs
    assert "not on this machine" in elsewhere.inputs


def test_the_figures_are_those_of_a_server_that_is_known(measure):
    """20 ms a request, one after the other: each of 4 callers waits for 4 of them."""
    (level,) = measure("slow", Level(concurrency=4), duration=2.0).levels
    assert level.latency_ms.p50 >= 60
    assert level.requests_per_second <= 50
    # Little's law: those in flight are the rate times how long each takes.
    in_flight = level.requests_per_second * level.latency_ms.mean / 1000
    assert in_flight == pytest.approx(4, rel=0.25)
    assert level.server.compute_infer_ms >= 20
    latency = level.latency_ms
    assert latency.p50 <= latency.p90 <= latency.p95 <= latency.p99 <= latency.max


def test_an_open_loop_keeps_its_schedule_when_the_server_does_not(measure):
    """Twice what the server can do: all of it is sent nonetheless, and waits ever longer."""
    (level,) = measure("slow", Level(rate=100), duration=2.0).levels
    assert level.sent == level.answered == level.server.requests == 200
    assert level.unsent == 0
    assert not level.keeps_up
    assert level.requests_per_second <= 50
    # The last ones leave after 2 s and are answered after 4 s: had the load waited for the
    # server, as callers do, none would have taken that long.
    assert level.latency_ms.max >= 1500
    assert level.departure_lag_ms.p50 < level.latency_ms.p50 / 10


def test_latency_counts_from_when_a_request_should_have_left(service, measure):
    """A server that stands still for a second makes everyone wait who comes meanwhile."""

    def pause():
        begun.wait(60)
        time.sleep(0.7)
        os.kill(service.pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(service.pid, signal.SIGCONT)

    begun = threading.Event()
    thread = threading.Thread(target=pause)
    thread.start()
    options = {"duration": 3.0, "on_progress": lambda _: begun.set()}
    try:
        (level,) = measure("linear", Level(rate=50), **options).levels
    finally:
        thread.join()
    assert level.sent == 150
    # About 50 requests fell into that second, a third of all.
    assert level.latency_ms.p90 >= 300
    assert level.latency_ms.max >= 900


def test_poisson_arrivals_are_seeded_and_irregular(measure):
    levels = [Level(rate=100, arrivals="poisson")] * 2
    first, second = measure("linear", *levels).levels
    assert first.sent == second.sent == first.server.requests != 100
    assert 60 <= first.sent <= 140
    assert first.name == "100/s poisson"


def test_errors_are_counted_by_kind_with_an_example(measure):
    (level,) = measure("flaky", Level(concurrency=2)).levels
    assert set(level.failed) == {"InferenceFailed"}
    failed = level.failed["InferenceFailed"]
    assert "every third one" in failed.example
    assert failed.count == level.failures == level.sent - level.answered
    assert failed.count == pytest.approx(level.sent / 3, abs=1)
    assert level.server.requests == level.sent


def test_requests_of_others_are_told_apart(service, measure):
    stop = threading.Event()

    def others():
        with service.client() as client:
            while not stop.is_set():
                client.run("linear", {"x": np.zeros((1, 4), np.float32)})

    thread = threading.Thread(target=others)
    thread.start()
    try:
        (level,) = measure("linear", Level(concurrency=1)).levels
    finally:
        stop.set()
        thread.join()
    assert level.server.requests > level.answered
    assert any("came from others" in note for note in level.notes)


def test_what_is_sent_again_is_its_own(measure):
    (level,) = measure("growing", Level(concurrency=1), shared_memory=True, duration=0.5).levels
    (twice,) = [note for note in level.notes if "run twice" in note]
    assert level.failed == {}
    assert level.server.requests == level.answered + int(twice.partition(" ")[0])
    assert level.server.requests > level.answered
    assert not any("others" in note for note in level.notes)
    (settled,) = measure("growing", Level(concurrency=1), shared_memory=True, duration=0.5).levels
    assert settled.server.requests == settled.answered
    assert settled.notes == ()


def test_large_tensors_through_shared_memory(measure, service):
    found = measure("late", Level(concurrency=2), duration=1.0, shared_memory=True)
    assert found.transport == "system shared memory (tensors of 64 KiB and more)"
    assert found.levels[0].failed == {}
    assert found.levels[0].answered > 0
    with tritonclient.grpc.InferenceServerClient(service.grpc_url) as asked:
        assert asked.get_system_shared_memory_status(as_json=True) == {}
    assert measure("linear", Level(concurrency=1), duration=0.5).transport == "wire"


def test_a_result_tells_itself_in_a_few_lines(measure, service):
    found = measure("linear", Level(concurrency=1), Level(rate=50), duration=0.3)
    head, *lines = str(found).splitlines()
    assert head == f"linear v1 at {service.grpc_url}, 12 golden samples"
    assert [line.split(":")[0] for line in lines] == ["  1 caller", "  50/s"]
    assert all("p50" in line and "p99" in line and "0 failed" in line for line in lines)
    assert str(found) in repr(found)


def test_where_and_when_it_was_measured(measure, service):
    found = measure("linear", Level(concurrency=1), duration=0.2)
    assert found.transport == "wire"
    with service.client() as client:
        assert found.versions["triton"] == client.get_service_info().version
    assert found.versions["nosbuild"]
    assert found.versions["nosclient"]
    measured = datetime.fromisoformat(found.measured_at)
    assert measured.utcoffset() == timedelta(0)
    assert abs(datetime.now(timezone.utc) - measured) < timedelta(minutes=5)
    assert found.machine.cpus >= 1
    assert found.machine.memory_bytes > 1 << 28
    assert found.machine.processor


def test_shared_memory_that_no_tensor_used_is_told(measure):
    found = measure("linear", Level(concurrency=1), duration=0.2, shared_memory=True)
    (note,) = found.notes
    assert note.startswith("shared memory was asked for, but tensors go over the wire: no tensor")
    assert note in str(found)


def test_what_the_room_has_can_be_looked_up():
    assert set(nosbuild.bench.__all__) <= set(dir(nosbuild.bench))


@pytest.mark.parametrize(
    ("windows", "steady"),
    [
        ((100, 100, 100, 100, 128), True),
        ((100, 100, 100, 100, 140), False),
        ((4, 4, 4, 4, 5), True),  # chance
    ],
)
def test_steady_is_what_chance_and_a_bound_allow(measure, windows, steady):
    (level,) = measure("linear", Level(concurrency=1), duration=0.2).levels
    assert level.model_copy(update={"windows": windows, "seconds": 10.0}).is_steady is steady
