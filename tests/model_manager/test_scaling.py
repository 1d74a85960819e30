"""Instances at run time: what the manager decides, and what Triton is given for it."""

import pytest
from clockwork import Bench, refused

from nosbuild.inside_triton.model_manager.nos_model_manager.overrides import (
    instances_of,
    override,
    versions_of,
)

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
