"""Instances that the manager chooses, on a clock and counts that the test moves."""

from clockwork import Bench

from nosbuild.inside_triton.model_manager.nos_model_manager.autoscaling import Autoscaling, Usage

ONE = {"instance_group": [{"kind": "KIND_CPU", "count": 1}]}
TWO = {"instance_group": [{"kind": "KIND_CPU", "count": 2}]}
MODELS = {"a": (100, []), "b": (100, [])}


def scaled(budget, least, most):
    bench = Bench(MODELS, budget, configs={"a": TWO, "b": TWO})
    bench.usage["a"] = Usage()
    bench.sizes["a"] = 50
    (answer,) = bench.ask(operation="scale", model="a", instances=[least, most])
    assert answer == {"model": "a", "state": "unloaded", "instances": least}
    bench.load("a")
    return bench


def work(bench, seconds, *, busy, waits=0.0, batch=4):
    """Batches are answered meanwhile, which keep so many instances busy; requests of them wait
    for that share of the time that they are worked on.
    """
    for _ in range(round(seconds)):
        compute = busy * batch  # each request of a batch counts
        done = Usage(0.0, 25 * batch, 25, waits * compute, compute)
        bench.usage["a"] = bench.usage["a"].with_more(done)
        bench.wait(1)


def instances(bench):
    return bench.status()["models"]["a"]["instances"]


def test_more_where_all_are_busy_and_requests_wait():
    bench = scaled(1000, 1, 3)
    assert bench.status()["models"]["a"]["autoscaling"] == [1, 3]
    work(bench, 3, busy=3.0, waits=0.4)
    assert instances(bench) == 1, "not at once"
    work(bench, 3, busy=3.0, waits=0.4)
    assert instances(bench) == 2
    assert bench.asked["a"].instances == 2
    work(bench, 60, busy=3.0, waits=0.4)
    assert instances(bench) == 3, "no more than was allowed"


def test_no_more_where_nothing_waits_or_waits_for_its_batch_only():
    bench = scaled(1000, 1, 3)
    work(bench, 30, busy=1.0, waits=0.05)
    work(bench, 30, busy=0.3, waits=2.0)
    assert instances(bench) == 1


def test_fewer_where_there_was_little_to_do_for_a_while_and_never_below_the_least():
    bench = scaled(1000, 1, 3)
    work(bench, 20, busy=3.0, waits=0.4)
    assert instances(bench) == 3
    work(bench, 20, busy=0.1)
    assert instances(bench) == 3, "it may come back"
    work(bench, 20, busy=0.1)
    assert instances(bench) == 2
    work(bench, 100, busy=0.0)
    assert instances(bench) == 1


def test_busy_instances_stay_though_nothing_waits():
    bench = scaled(1000, 1, 3)
    work(bench, 20, busy=3.0, waits=0.4)
    work(bench, 100, busy=2.0)
    assert instances(bench) == 3


def test_nobody_goes_for_instances_that_only_the_manager_wants():
    bench = scaled(170, 1, 3)
    bench.load("b")
    work(bench, 30, busy=3.0, waits=0.4)
    assert (instances(bench), set(bench.loaded)) == (1, {"a", "b"})
    bench.ask(operation="release", model="b")
    bench.settle()
    work(bench, 10, busy=3.0, waits=0.4)
    assert instances(bench) > 1


def test_a_number_ends_it_and_a_range_is_kept_to():
    bench = scaled(1000, 1, 3)
    bench.ask(operation="scale", model="a", instances=2)
    bench.settle()
    work(bench, 30, busy=3.0, waits=0.4)
    assert instances(bench) == 2
    bench.ask(operation="scale", model="a", instances=[4, 6])
    bench.settle()
    assert instances(bench) == 4
    kept = bench.manager.keep()
    bench.manager = bench.new_manager()
    bench.manager.restore(kept)
    row = bench.status()["models"]["a"]
    assert (row["instances"], row["autoscaling"]) == (4, [4, 6])


def test_what_was_evicted_comes_back_with_the_least():
    bench = scaled(1000, 1, 3)
    work(bench, 6, busy=3.0, waits=0.4)
    assert instances(bench) == 2
    bench.ask(operation="release", model="a")
    bench.settle()
    bench.load("a")
    assert instances(bench) == 1


def test_who_looks_all_the_time_changes_nothing():
    bench = scaled(1000, 1, 3)
    for _ in range(60):
        work(bench, 1, busy=3.0, waits=0.4)
        for _ in range(10):
            bench.now += 0.01
            bench.status()  # nothing was answered meanwhile
    assert instances(bench) == 3


def test_counts_that_begin_anew_are_of_a_new_load():
    scaling = Autoscaling(1, 3)
    scaling.wanted(0.0, Usage(0.0, 1000, 1000, 50.0, 10.0), 1)
    for second in range(1, 10):
        wanted = scaling.wanted(float(second), Usage(0.0, second, second, 0.0, second * 0.01), 1)
    assert wanted == 1


def test_two_that_want_the_same_room_do_not_make_a_third_go():
    class Growing(Bench):
        def size(self, name):
            return 50 * (self.asked[name].instances or 1)

    models = {name: (50, []) for name in "abc"}
    bench = Growing(models, 200, configs=dict.fromkeys("abc", ONE))
    bench.usage = {name: Usage() for name in "abc"}
    for name in "ab":
        bench.ask(operation="scale", model=name, instances=[1, 2])
    bench.load("c", "a", "b")
    for _ in range(12):
        for name in "ab":
            bench.usage[name] = bench.usage[name].with_more(Usage(0.0, 100, 25, 3.0, 4.0))
            bench.used[name] = bench.now
        bench.wait(1)
    assert set(bench.loaded) == {"a", "b", "c"}
    assert sorted(bench.loaded.values()) == [50, 50, 100]


def test_instances_that_do_not_load_are_not_tried_all_the_time():
    bench = Bench(MODELS, 1000, configs={"a": ONE})
    bench.usage["a"] = Usage()
    bench.ask(operation="scale", model="a", instances=[1, 2])
    bench.load("a")
    tried = 0
    for _ in range(240):
        bench.usage["a"] = bench.usage["a"].with_more(Usage(0.0, 25, 25, 0.5, 0.9))
        for _ in range(4):
            bench.now += 0.25
            bench.step()
            if ("load", "a") in bench.jobs:
                bench.end("load", "a", failure="no memory")
                tried += 1
    assert 1 < tried < 6
