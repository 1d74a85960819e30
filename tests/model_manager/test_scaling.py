"""Instances at run time: what the manager decides, and what Triton is given for it."""

import pytest
from clockwork import Bench, refused

from nosbuild.inside_triton.model_manager.nos_model_manager.overrides import (
    instances_of,
    override,
    versions_of,
)
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import host

ONE = {"instance_group": [{"kind": "KIND_CPU", "count": 1}]}
TWO = {"instance_group": [{"kind": "KIND_CPU", "count": 2}]}
MODELS = {"a": (100, []), "b": (60, []), "both": (0, ["a", "b"])}
CONFIGS = {"a": TWO, "both": {"platform": "ensemble"}}


def bench_with(budget):
    return Bench(MODELS, budget, configs=CONFIGS)


def scale(bench, name, instances, **more):
    return bench.ask(operation="scale", model=name, instances=instances, **more)


def test_more_instances_are_given_what_they_need_more_and_fewer_give_it_back():
    bench = bench_with(1000)
    bench.load("a")
    answers = scale(bench, "a", 3)
    assert bench.begun[-1] == ("load", "a")
    assert bench.asked["a"].instances == 3
    assert bench.status()["used_bytes"] == 150
    bench.sizes["a"] = 148
    bench.end("load", "a")
    assert (answers[0]["state"], answers[0]["instances"], answers[0]["bytes"]) == ("ready", 3, 148)
    assert bench.status()["models"]["a"]["instances"] == 3
    bench.sizes["a"] = 50
    scale(bench, "a", 1)
    bench.settle()
    assert bench.asked["a"].instances == 1
    assert bench.status()["used_bytes"] == 50


def test_as_many_as_there_are_is_no_load():
    bench = bench_with(1000)
    bench.load("a")
    (answer,) = scale(bench, "a", 2)
    assert answer["loaded"] == []
    assert bench.begun == [("load", "a")]


def test_a_model_that_is_not_loaded_is_loaded_with_them_later():
    bench = bench_with(1000)
    (answer,) = scale(bench, "a", 4)
    assert answer == {"model": "a", "state": "unloaded", "instances": 4}
    answers = bench.ensure("a")
    assert bench.asked["a"].instances == 4
    assert bench.status()["used_bytes"] == 200
    bench.settle()
    assert answers[0]["instances"] == 4


def test_others_go_for_more_instances_and_what_does_not_fit_is_refused():
    bench = bench_with(180)
    bench.load("b", "a")
    bench.now += 5
    scale(bench, "a", 3)
    assert bench.begun[-1] == ("unload", "b")
    bench.settle()
    assert bench.asked["a"].instances == 3
    code, text = refused(scale(bench, "a", 100))
    assert code == "UNAVAILABLE"
    assert "no room for 100 instances of 'a'" in text
    assert bench.status()["models"]["a"]["state"] == "ready"


def test_instances_that_do_not_load_leave_the_others():
    bench = bench_with(1000)
    bench.load("a")
    answers = scale(bench, "a", 3)
    bench.end("load", "a", failure="no memory")
    assert "does not load: no memory" in refused(answers)[1]
    row = bench.status()["models"]["a"]
    assert (row["state"], row["instances"], row["bytes"]) == ("ready", 2, 100)


def test_what_was_asked_for_outlives_the_manager_and_gives_way_to_a_new_config():
    bench = bench_with(1000)
    bench.load("a")
    scale(bench, "a", 3)
    bench.settle()
    kept = bench.manager.keep()
    bench.manager = bench.new_manager()
    bench.manager.restore(kept)
    assert bench.status()["models"]["a"]["instances"] == 3
    same = {"a": {"bytes": 100, "config": {**TWO, "max_batch_size": 4}}}
    bench.ensure("a", again=True, models=same)
    bench.settle()
    assert bench.asked["a"].instances == 3
    four = {"a": {"bytes": 100, "config": {"instance_group": [{"count": 4}]}}}
    bench.ensure("a", again=True, models=four)
    bench.settle()
    assert bench.asked["a"].instances is None
    assert bench.status()["models"]["a"]["instances"] == 4


def test_an_ensemble_has_no_instances():
    text = refused(scale(bench_with(1000), "both", 2))[1]
    assert text == "'both' is an ensemble, which has no instances: scale 'a' or 'b'"


@pytest.mark.parametrize("instances", [0, -1, 257, 1.5, True, "2", None, [2, 1], [1], [1, 2, 3]])
def test_impossible_numbers_are_refused(instances):
    assert refused(scale(bench_with(1000), "a", instances))[0] == "INVALID_ARG"


def counts(config):
    return [(group["count"], tuple(group.get("gpus", ()))) for group in config["instance_group"]]


def test_instances_are_shared_out_over_groups_and_gpus():
    gpus = {"instance_group": [{"kind": "KIND_GPU", "count": 1, "gpus": [0, 1], "name": "g"}]}
    assert counts(override(gpus, 3)) == [(2, (0,)), (1, (1,))]
    assert counts(override(gpus, 1)) == [(1, (0,))]
    assert counts(override(TWO, 5)) == [(5, ())]
    assert counts(override({}, 2)) == [(2, ())]
    assert counts(override(gpus)) == [(1, (0, 1))], "as it says"
    assert gpus["instance_group"][0]["count"] == 1, "it is not changed itself"
    assert override(TWO, None, 3)["parameters"] == {"nosbuild_restarts": {"string_value": "3"}}


@pytest.mark.parametrize(
    ("config", "instances", "versions"),
    [
        (TWO, 2, 1),
        ({}, 0, 1),
        ({"instance_group": [{"count": 2, "gpus": [0, 1]}, {}]}, 5, 1),
        ({"instance_group": [{"kind": "KIND_GPU", "count": 2}]}, 0, 1),
        ({"version_policy": {"specific": {"versions": ["1", "3"]}}}, 0, 2),
        ({"version_policy": {"latest": {"num_versions": 2}}}, 0, 2),
        ({"version_policy": {"all": {}}}, 0, 0),
    ],
)
def test_workers_that_a_config_makes(config, instances, versions):
    assert (instances_of(config), versions_of(config)) == (instances, versions)


def test_a_number_that_is_asked_for_is_not_met_by_another_load():
    bench = bench_with(180)
    bench.load("b", "a")
    bench.now += 5
    three = scale(bench, "a", 3)
    assert bench.begun[-1] == ("unload", "b")
    bench.crash("a")
    bench.end("restart", "a")
    assert not three, "it was loaded again, with two"
    bench.settle()
    assert three[0]["instances"] == 3


def test_two_numbers_at_once_are_both_met():
    bench = bench_with(1000)
    bench.load("a")
    three, one = scale(bench, "a", 3), scale(bench, "a", 1)
    bench.settle()
    assert (three[0]["instances"], one[0]["instances"]) == (3, 1)


def test_a_model_that_goes_has_them_when_it_is_loaded_again():
    bench = bench_with(1000)
    bench.load("a")
    bench.ask(operation="release", model="a")
    (answer,) = scale(bench, "a", 3)
    assert answer == {"model": "a", "state": "unloading", "instances": 3}
    bench.settle()
    assert bench.status()["models"]["a"]["bytes"] == 150
    bench.ensure("a")
    assert bench.asked["a"].instances == 3


def test_a_scale_does_not_load_what_is_braked():
    bench = bench_with(1000)
    bench.load("a")
    bench.crash_and_restart("a")
    bench.crash("a")
    scale(bench, "a", 3)
    bench.end("drop", "a")
    assert bench.begun[-1] == ("drop", "a")


def test_bytes_that_nobody_measures_follow_the_number():
    bench = Bench({"a": ({"host": 10, "0": 60}, [])}, {"host": 1000, "0": 1000}, configs={"a": ONE})
    bench.sizes["a"] = {"host": 10}  # the driver does not tell of its processes
    bench.load("a")
    for instances, size in ((3, 180), (1, 60), (2, 120)):
        scale(bench, "a", instances)
        bench.settle()
        assert bench.status()["gpus"]["0"]["used_bytes"] == size


def test_a_new_config_is_reserved_what_its_instances_need():
    bench = Bench(MODELS, 1000, configs={"a": ONE})
    bench.sizes["a"] = 50
    bench.load("a")
    four = {"a": {"bytes": 200, "config": {"instance_group": [{"count": 4}]}}}
    bench.ensure("a", again=True, models=four)
    assert bench.status()["used_bytes"] == 50 + 200, "the new one beside the old one"
    bench.sizes["a"] = 200
    bench.settle()
    bench.ask(operation="release", model="a")
    bench.settle()
    bench.ensure("a")
    assert bench.status()["used_bytes"] == 200


def test_who_asks_for_the_newest_without_saying_what_it_is_keeps_the_number():
    bench = bench_with(1000)
    bench.load("a")
    scale(bench, "a", 3)
    bench.settle()
    bench.ensure("a", again=True)
    job = bench.asked["a"]
    assert (job.config, job.instances) == (None, 3)
    bench.jobs.remove(("load", "a"))
    bench.loaded["a"], bench.loaded_beside["a"] = 40, [40] * 4
    bench.manager.loaded("a", 1.0, [host(40)] * 5, TWO)  # as Triton tells it; two have yet to end
    bench.step()
    row = bench.status()["models"]["a"]
    assert (row["instances"], row["bytes"]) == (3, 120)
    assert row["not_returned"] == {"bytes": 80}
    bench.loaded_beside.clear()
    bench.ask(operation="release", model="a")
    bench.settle()
    bench.ensure("a")
    assert (bench.asked["a"].config, bench.asked["a"].instances) == (TWO, 3)


def test_what_was_made_known_outlives_the_manager():
    bench = bench_with(1000)
    new = {"new": {"bytes": 100, "config": {"instance_group": [{"count": 1}]}}}
    bench.models = {**bench.models, "new": (100, [])}
    bench.ensure("new", models=new)
    bench.settle()
    kept = bench.manager.keep()
    del bench.models["new"]
    bench.manager = bench.new_manager()
    bench.models["new"] = (100, [])
    bench.manager.restore(kept)
    assert bench.status()["used_bytes"] == 100
    assert bench.ensure("new")[0]["state"] == "ready"
