"""Measurements of a real build, and of runners whose speed is known."""

import time

import numpy as np
import psutil

import nosbuild
from nosbuild.plan import Placement
from nosbuild.verify.contest import LEAST_ROUNDS, Contestant, Goal, affordable, hold


def test_throughput_is_measured_at_the_typical_batch(make_model, tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    code = """
    import numpy as np
    from sklearn.linear_model import LinearRegression
    def fit():
        return LinearRegression().fit(np.eye(2), np.ones(2))
    """
    text = "source: {sklearn: 'model.py:fit'}\ndims: {batch: 1..1..32}\n"
    spec = make_model(text, model=code)
    result = nosbuild.build(spec.folder, repository=tmp_path / "repository")
    measured = result.measurement
    assert {row.batch for row in measured.throughputs} == {1}
    assert [row.batch for row in measured.latencies] == [1, 32]
    assert measured.over_baseline is None
    source, published = result.variants[:2]
    assert (source.name, source.verdict) == ("scikit-learn", "source")
    assert source.speed.over_baseline.rounds >= LEAST_ROUNDS
    assert (published.name, published.verdict) == ("onnx-fp32", "published")


class Sleeper:
    """Takes as long as it is told for each item."""

    def __init__(self, seconds, log, name):
        self.seconds, self.log, self.name = seconds, log, name

    def run(self, inputs):
        self.log.append(self.name)
        time.sleep(self.seconds * len(inputs["x"]))
        return inputs


def sleeper(name, seconds, log, **more):
    def opened(*, threads, spinning):
        return Sleeper(seconds, log, name)

    return Contestant(name, opened, 1, (Placement(1, 2), Placement(2, 1)), **more)


ITEMS = [{"x": np.zeros(1, np.float32)}] * 4


def test_variants_take_turns_and_the_faster_wins():
    log = []
    slow, fast = sleeper("slow", 0.02, log), sleeper("fast", 0.01, log)
    found = hold([slow, fast], ITEMS, (1, 2), 2, Goal("throughput", None), batched=True)
    assert found.chosen == "fast"
    over = found.measurements["fast"].over_baseline
    assert 1.4 < over.low <= over.value <= over.high < 2.6
    assert over.confidence >= 0.9
    assert found.measurements["slow"].over_baseline is None
    # Two sessions sleep at once, so two instances do twice as much.
    assert found.measurements["fast"].instances == 2
    turns = [name for last, name in zip(["", *log], log, strict=False) if name != last]
    assert turns.count("fast") >= 4 * LEAST_ROUNDS  # never all of one before all of the other


def test_within_the_noise_the_more_precise_wins():
    log = []
    precise, same = sleeper("precise", 0.01, log), sleeper("same", 0.0099, log)
    found = hold([precise, same], ITEMS, (1,), 1, Goal("throughput", None), batched=True)
    assert found.chosen == "precise"
    assert "within the noise" in found.why


def test_the_source_is_measured_but_never_chosen():
    log = []
    variant = sleeper("variant", 0.01, log)
    source = sleeper("source", 0.001, log, may_be_published=False)
    found = hold([variant, source], ITEMS, (1,), 1, Goal("latency", None), batched=True)
    assert found.chosen == "variant"
    assert found.measurements["source"].over_baseline.value > 2


def test_a_limit_on_p99_comes_before_throughput():
    log = []

    class Batcher(Sleeper):
        def run(self, inputs):
            time.sleep(self.seconds)
            return inputs

    def opened(*, threads, spinning):
        return Batcher(0.03, log, "late")

    late = Contestant("late", opened, 1, (Placement(4, 1),))
    prompt = Contestant("prompt", lambda **_: Sleeper(0.01, log, "prompt"), 1, (Placement(1, 1),))
    found = hold([late, prompt], ITEMS, (1,), 1, Goal("throughput", 20.0), batched=True)
    assert found.chosen == "prompt"
    found = hold([late, prompt], ITEMS, (1,), 1, Goal("throughput", 1.0), batched=True)
    assert found.chosen == "prompt"
    assert "none keeps p99 <= 1 ms" in found.why


def test_placements_whose_copies_of_the_weights_do_not_fit_are_left_out():
    size = psutil.virtual_memory().total // 10
    placements = tuple(Placement(count, 1) for count in (1, 2, 64))

    def left(size):
        (found,) = affordable([Contestant("large", lambda **_: None, size, placements)])
        return [row.instances for row in found.placements]

    assert left(size) == [1]
    assert left(10) == [1, 2, 64]


def test_sessions_that_do_not_fit_together_are_opened_for_their_turns():
    opened = []

    def contestant(name):
        def open_one(*, threads, spinning):
            opened.append(name)
            return Sleeper(0, [], name)

        return Contestant(name, open_one, psutil.virtual_memory().total, (Placement(1, 1),))

    hold([contestant("a"), contestant("b")], ITEMS, (1,), 1, Goal("throughput", None), batched=True)
    assert opened.count("a") == opened.count("b") >= 2 * LEAST_ROUNDS
