"""What the manager decides, on a clock and a server that the test moves."""

import random

import pytest
from clockwork import Bench, refused

THREE = {"a": (100, []), "b": (100, []), "c": (100, [])}
PIPELINE = {"ensemble": (0, ["detect", "read"]), "detect": (60, []), "read": (60, []), **THREE}


def test_one_load_for_all_who_ask():
    bench = Bench(THREE, 1000)
    waiting = [bench.ensure("a") for _ in range(100)]
    assert bench.begun == [("load", "a")]
    waiting += [bench.ensure("a") for _ in range(100)]  # while it loads
    assert not any(waiting)
    bench.end("load", "a")
    assert [answers[0]["state"] for answers in waiting] == ["ready"] * 200
    assert bench.begun == [("load", "a")]
    assert bench.ensure("a")[0]["loaded"] == []


def test_the_least_recently_used_goes_and_is_gone_before_the_next_is_loaded():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.use("b", "a")
    bench.now += 5
    answers = bench.ensure("c")
    assert bench.begun[2:] == [("unload", "b")]
    assert not answers
    bench.end("unload", "b")
    assert bench.begun[3:] == [("load", "c")]
    bench.end("load", "c")
    assert answers[0]["loaded"] == ["c"]
    assert bench.most == 200
    models = bench.status()["models"]
    assert {name: row["state"] for name, row in models.items()} == {
        "a": "ready",
        "b": "unloaded",
        "c": "ready",
    }
    assert (models["b"]["evictions"], models["b"]["loads"]) == (1, 1)


def test_no_more_go_than_must():
    models = {"small": (10, []), "large": (100, []), "other": (100, []), "new": (100, [])}
    bench = Bench(models, 210)
    bench.load("small", "large", "other")
    bench.use("small", "large", "other")
    bench.now += 5
    bench.ensure("new")
    bench.settle()
    assert ("unload", "small") not in bench.begun, "large alone makes room enough"
    assert set(bench.loaded) == {"small", "other", "new"}


def test_what_was_loaded_or_used_a_moment_ago_is_spared():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    answers = bench.ensure("c")
    bench.wait(1.5)
    assert bench.begun == [("load", "a"), ("load", "b")]
    bench.use("a")
    bench.wait(0.6)  # two seconds since b was loaded, half a second since a was used
    assert answers[0]["state"] == "ready"
    assert set(bench.loaded) == {"a", "c"}


def test_models_in_use_all_the_time_give_way_to_who_has_waited():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.now += 10
    bench.use("a", "b")
    answers = bench.ensure("c")
    for _ in range(6):
        bench.use("a", "b")
        bench.wait(0.1)
    assert bench.begun[2:] == [], "not yet: both are in use"
    for _ in range(12):
        bench.use("a", "b")
        bench.wait(0.1)
    assert answers[0]["state"] == "ready"


def test_who_is_short_of_time_does_not_wait_for_residency():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.now += 0.4
    bench.ensure("c", timeout=4.0)
    assert bench.begun[2:] == [], "not even now: who was told of them has not used them yet"
    bench.now += 0.2
    bench.step()
    assert bench.begun[2:] == [("unload", "a")]


def test_who_is_told_that_a_model_is_loaded_finds_it_loaded():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.ask(operation="pin", model="b")
    bench.now += 10
    bench.use("a")
    answers = bench.ensure("c")
    bench.wait(1.7)
    bench.use("a")
    bench.load("a")  # it was loaded all the time; who asked is about to use it
    bench.wait(0.4)
    assert set(bench.loaded) == {"a", "b"}, "though c has waited for longer than residency"
    bench.wait(0.4)
    assert answers[0]["loaded"] == ["c"]
    assert set(bench.loaded) == {"b", "c"}


def test_models_that_nobody_has_seen_loaded_are_loaded_one_by_one_where_it_is_tight():
    bench = Bench(THREE, 350)
    for name in "abc":
        bench.ensure(name)
    assert bench.begun == [("load", "a")]
    bench.end("load", "a")
    assert bench.begun[1:] == [("load", "b")]
    bench.settle()
    assert set(bench.loaded) == {"a", "b", "c"}
    roomy = Bench(THREE, 700)
    for name in "abc":
        roomy.ensure(name)
    assert len(roomy.begun) == 3


def test_pinned_models_stay_and_are_told_at_once():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    for name in ("a", "b"):
        assert bench.ask(operation="pin", model=name)[0]["pinned"] is True
    bench.now += 10
    code, text = refused(bench.ensure("c"))
    assert code == "UNAVAILABLE"
    assert text.startswith("RESOURCE_EXHAUSTED: no room for model 'c'")
    assert "are pinned (a, b); unpin what may go, or give it more: nosbuild budget SIZE" in text
    code, text = refused(bench.ask(operation="release", model="a"))
    assert (code, text) == ("INVALID_ARG", "model 'a' is pinned: unpin it first")
    bench.ask(operation="unpin", model="b")
    bench.load("c")
    assert set(bench.loaded) == {"a", "c"}


def test_a_closure_is_loaded_from_below_and_evicted_from_above():
    bench = Bench(PIPELINE, 220)
    answers = bench.ensure("ensemble")
    assert sorted(bench.begun) == [("load", "detect"), ("load", "read")]
    bench.end("load", "read")
    bench.end("load", "detect")
    bench.end("load", "ensemble")
    assert answers[0]["loaded"] == ["read", "detect", "ensemble"]
    assert answers[0]["bytes"] == 120
    bench.load("a")
    bench.now += 10
    bench.use("a")
    bench.ensure("b")  # 60 + 60 would do, and so would a, which was used since
    assert bench.begun[4:] == [("unload", "ensemble")]
    bench.end("unload", "ensemble")
    bench.settle()
    assert set(bench.loaded) == {"a", "b"}


def test_what_a_loaded_model_calls_is_no_victim_alone():
    bench = Bench(PIPELINE, 220)
    bench.load("ensemble")
    bench.ask(operation="pin", model="ensemble")
    bench.load("a")
    bench.now += 10
    bench.use("a")
    bench.now += 5
    bench.load("b")
    assert set(bench.loaded) == {"ensemble", "detect", "read", "b"}
    code, text = refused(bench.ask(operation="release", model="read"))
    assert (code, text) == ("INVALID_ARG", "model 'read' is called by ensemble: unload that first")


def test_a_closure_does_not_evict_its_own_parts():
    bench = Bench(PIPELINE, 125)
    bench.load("read")
    bench.now += 10
    bench.load("ensemble")
    assert bench.begun == [("load", "read"), ("load", "detect"), ("load", "ensemble")]


def test_a_model_larger_than_the_budget_is_refused_with_both_numbers():
    bench = Bench({"big": (300 << 20, [])}, 200 << 20)
    code, text = refused(bench.ensure("big"))
    assert code == "UNAVAILABLE"
    assert "needs 300.0 MiB (estimated: it was not loaded here yet), and the whole" in text
    assert "budget is 200.0 MiB; give it more: nosbuild budget SIZE" in text


def test_a_failed_load_is_told_to_all_gives_its_bytes_back_and_is_braked():
    bench = Bench(PIPELINE, 1000)
    waiting = [bench.ensure("ensemble"), bench.ensure("read"), bench.ensure("ensemble")]
    bench.end("load", "read", failure="no weights")
    bench.settle()
    texts = [refused(answers) for answers in waiting]
    assert texts[1] == ("INTERNAL", "model 'read' does not load: no weights")
    called = "model 'read', which 'ensemble' calls, does not load: no weights"
    assert texts[0] == texts[2] == ("INTERNAL", called)
    assert bench.status()["used_bytes"] == 60, "detect, which was loading"
    _, text = refused(bench.ensure("read"))
    assert "no weights; it is not tried again for 5.0 s" in text
    assert bench.begun.count(("load", "read")) == 1
    bench.ensure("read", again=True)  # somebody has mended it
    assert bench.begun.count(("load", "read")) == 2
    bench.end("load", "read", failure="no weights")
    bench.now += 5.1
    bench.load("read")


def test_who_gives_up_blocks_nobody():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.ask(operation="pin", model="a")
    gone = bench.ensure("c", timeout=1.0)
    assert not bench.jobs, "b was loaded a moment ago"
    bench.now += 1.1
    bench.step()
    code, text = refused(gone)
    assert code == "UNAVAILABLE"
    assert text.startswith("RESOURCE_EXHAUSTED: no room for 'c' within 1.1 s")
    assert bench.status()["used_bytes"] == 200
    bench.now += 2
    bench.load("c")


def test_a_load_that_nobody_waits_for_any_more_is_not_begun():
    bench = Bench({"parent": (10, ["child"]), "child": (10, [])}, 100)
    answers = bench.ensure("parent", timeout=1.0)
    bench.now += 1.5
    bench.step()
    assert "still loading after 1.5 s" in refused(answers)[1]
    bench.end("load", "child")
    assert bench.begun == [("load", "child")]
    assert bench.status()["used_bytes"] == 10


def test_observed_bytes_take_the_estimates_place():
    bench = Bench(THREE, 250, sizes={"a": 150, "b": 150})
    bench.load("a")
    assert bench.status()["models"]["a"]["bytes"] == 150
    bench.now += 10
    bench.load("b")  # by its estimate it fits beside a
    bench.wait(5)
    assert set(bench.loaded) == {"b"}, "by what was seen, both do not fit"
    bench.load("a")
    assert set(bench.loaded) == {"a"}
    assert bench.most == 300, "once, while nothing but the estimate was known"


def test_growth_is_seen_and_what_grew_is_reserved_next_time():
    bench = Bench(THREE, 300)
    bench.load("a")
    bench.loaded["a"] = 180
    assert bench.status()["models"]["a"]["bytes"] == 180
    bench.now += 10
    bench.load("b")
    bench.now += 10
    bench.load("c")
    assert set(bench.loaded) == {"b", "c"}
    assert bench.status()["models"]["a"]["bytes"] == 180


def test_a_smaller_budget_is_kept_to():
    bench = Bench(THREE, 300)
    bench.load("a", "b", "c")
    bench.use("c", "b", "a")
    (answer,) = bench.ask(operation="budget", bytes=150)
    assert (answer["budget_bytes"], answer["used_bytes"]) == (150, 300)
    bench.wait(5)
    assert set(bench.loaded) == {"a"}
    assert bench.ask(operation="budget")[0]["used_bytes"] == 100


def test_a_larger_budget_lets_in_who_waits():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    answers = bench.ensure("c")
    bench.ask(operation="budget", bytes=300)
    bench.settle()
    assert answers[0]["state"] == "ready"
    assert set(bench.loaded) == {"a", "b", "c"}


def test_state_is_rebuilt_by_the_next_manager():
    bench = Bench(THREE, 250)
    bench.load("a", "b")
    bench.ask(operation="pin", model="a")
    kept = bench.manager.keep()
    bench.manager = bench.new_manager()
    bench.manager.restore(kept)
    bench.step()
    models = bench.status()["models"]
    assert [models[name]["state"] for name in "abc"] == ["ready", "ready", "unloaded"]
    assert models["a"]["pinned"]
    assert models["a"]["loads"] == 1
    bench.now += 5
    bench.load("c")
    assert set(bench.loaded) == {"a", "c"}


def test_what_others_load_and_unload_is_seen():
    bench = Bench(THREE, 250)
    bench.load("a")
    del bench.loaded["a"]  # somebody unloaded it
    bench.load("a")
    assert bench.begun == [("load", "a"), ("load", "a")]
    bench.loaded["b"] = 100  # and loaded another
    assert bench.status()["used_bytes"] == 200
    bench.now += 10
    bench.load("c")
    assert len(bench.loaded) == 2


def test_what_others_are_at_is_waited_for():
    bench = Bench(THREE, 250)
    bench.load("a")
    bench.others["a"] = "UNLOADING"
    answers, released = bench.ensure("a"), bench.ask(operation="release", model="a")
    bench.wait(1)
    assert not answers
    assert not released
    del bench.loaded["a"], bench.others["a"]
    bench.wait(1)
    assert answers[0]["loaded"] == ["a"]
    assert released == [{"model": "a", "state": "unloaded"}]
    bench.others["b"] = "LOADING"
    answers = bench.ensure("b")
    bench.wait(1)
    assert not answers
    del bench.others["b"]
    bench.loaded["b"] = 100
    bench.wait(1)
    assert answers[0]["loaded"] == []
    assert ("load", "b") not in bench.begun


def test_a_new_version_is_loaded_beside_the_old_one_where_that_fits():
    bench = Bench(THREE, 210)
    bench.load("a", "b")
    bench.now += 10
    answers = bench.ensure("a", again=True)
    bench.settle()
    assert bench.begun[2:] == [("unload", "b"), ("load", "a")]
    assert answers[0]["loaded"] == ["a"]
    bench.ask(operation="budget", bytes=150)
    _, text = refused(bench.ensure("a", again=True))
    assert "no room for another load of 'a' beside the one that serves: it needs" in text
    assert set(bench.loaded) == {"a"}


def test_a_model_with_states_is_spared_for_as_long_as_its_callers_may_pause():
    bench = Bench(THREE, 250, idle_seconds={"a": 60})
    bench.load("a", "b")
    bench.use("b", "a")
    bench.now += 30
    bench.use("b")
    bench.now += 3
    bench.load("c")
    assert set(bench.loaded) == {"a", "c"}


def test_a_model_with_states_is_spared_even_by_who_is_short_of_time():
    bench = Bench(THREE, 250, idle_seconds={"a": 60})
    bench.load("a", "b")
    bench.now += 10
    bench.use("b", "a")
    bench.now += 0.6
    bench.ensure("c", timeout=4.0)
    assert bench.begun[2:] == [("unload", "b")]


def test_a_load_that_began_before_is_not_what_again_asks_for():
    bench = Bench(THREE, 250)
    first = bench.ensure("a")
    again = bench.ensure("a", again=True)
    bench.end("load", "a")
    assert first[0]["loaded"] == ["a"]
    assert not again, "that may have been the older version"
    later = bench.ensure("a", again=True)
    assert bench.begun == [("load", "a")] * 2
    bench.end("load", "a")
    assert again[0]["loaded"] == ["a"]
    assert not later, "it was asked for once that load had begun"
    bench.settle()
    assert later[0]["loaded"] == ["a"]
    assert bench.begun == [("load", "a")] * 3


def test_what_only_pinned_models_take_too_much_of_is_not_looked_at_for_ever():
    bench = Bench(THREE, 250, sizes={"a": 300})
    bench.load("b")
    bench.ask(operation="pin", model="a")
    bench.ask(operation="ensure", model="a")
    bench.wait(10)
    assert set(bench.loaded) == {"a"}
    assert bench.manager.wakes_at() is None


def test_release_unloads_and_is_answered_once_it_is_gone():
    bench = Bench(THREE, 250)
    bench.load("a")
    answers = bench.ask(operation="release", model="a")
    assert not answers
    bench.end("unload", "a")
    assert answers == [{"model": "a", "state": "unloaded"}]
    assert bench.status()["models"]["a"]["evictions"] == 0


def test_a_model_that_is_wanted_while_it_goes_is_loaded_again():
    bench = Bench(THREE, 250)
    bench.load("a")
    bench.ask(operation="release", model="a")
    answers = bench.ensure("a")
    assert bench.begun[1:] == [("unload", "a")]
    bench.settle()
    assert answers[0]["loaded"] == ["a"]


def test_an_unload_that_fails_leaves_the_model_where_it_is():
    bench = Bench(THREE, 250)
    bench.load("a")
    answers = bench.ask(operation="release", model="a")
    bench.jobs.remove(("unload", "a"))
    bench.manager.unloaded("a", "not gone after 600 s")
    bench.step()
    assert refused(answers)[0] == "INTERNAL"
    assert bench.status()["models"]["a"]["state"] == "ready"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ensembel", "there is no model 'ensembel'; did you mean 'ensemble'?"),
        ("zzz", "there is no model 'zzz'; there are: a, b, c, detect, ensemble, read"),
    ],
)
def test_a_typo_is_told_apart(name, text):
    assert refused(Bench(PIPELINE, 100).ensure(name)) == ("NOT_FOUND", text)


def test_a_broken_model_is_refused_with_its_reason():
    bench = Bench(THREE, 250, broken={"worn": "not what was proven"})
    _, text = refused(bench.ensure("worn"))
    assert text == "model 'worn' must not be loaded: not what was proven"


def test_a_model_that_is_made_known_later_can_be_loaded():
    bench = Bench({**THREE, "late": (0, [])}, 250)
    bench.ensure("late", models={"late": {"bytes": 240, "calls": ["a"]}})
    bench.settle()
    assert "needs" in refused(bench.ensure("late"))[1]  # 240 and a's 100 are more than 250


def test_models_that_a_look_makes_known_are_not_loaded():
    bench = Bench({**THREE, "late": (240, [])}, 250)
    bench.manager.is_changed = False
    bench.ask(operation="status", models={"late": {"bytes": 230}})
    assert bench.manager.keep()["entries"]["late"]["bytes"] == 230
    bench.settle()
    assert not bench.loaded
    bench.ensure("late")
    bench.settle()
    assert bench.loaded == {"late": 240}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"operation": "explode"},
        {"operation": "ensure"},
        {"operation": "ensure", "model": 3},
        {"operation": "ensure", "model": "a", "timeout": -1},
        {"operation": "ensure", "model": "a", "timeout": "soon"},
        {"operation": "ensure", "model": "a", "modell": "b"},
        {"operation": "ensure", "model": "a", "models": {"a": 3}},
        {"operation": "ensure", "model": "a", "models": {"a": {"calls": [1]}}},
        {"operation": "ensure", "model": "a", "models": {"model_manager": {}}},
        {"operation": "release", "model": "a", "models": {"a": {}}},
        {"operation": "status", "timeout": 10**400},
        {"operation": "budget", "bytes": 10**400},
        {"operation": "budget", "bytes": 0},
        {"operation": "budget", "bytes": True},
    ],
)
def test_garbage_is_refused_with_an_example(request_):
    code, text = refused(Bench(THREE, 100).ask(**request_))
    assert code == "INVALID_ARG"
    assert 'write e.g. {"operation": "ensure"' in text


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_asked_for_the_budget_holds_and_everybody_is_answered(seed):
    dice = random.Random(seed)
    bench = Bench(PIPELINE | {"wide": (0, ["ensemble", "a"])}, 260)
    waiting = []
    for _ in range(150):
        name = dice.choice(list(bench.models))
        kind = dice.random()
        if kind < 0.7:
            waiting.append(bench.ensure(name, timeout=dice.choice([3, 30, 300])))
        elif kind < 0.8:
            waiting.append(bench.ask(operation="release", model=name))
        elif kind < 0.9:
            bench.ask(operation=dice.choice(["pin", "unpin", "unpin"]), model=name)
        elif bench.jobs:
            job, one = dice.choice(bench.jobs)
            bench.end(job, one, failure="at random" if job == "load" and kind < 0.93 else "")
        if bench.loaded:
            bench.use(dice.choice(list(bench.loaded)))
        bench.now += dice.choice([0.01, 0.3, 2])
        bench.step()
        assert bench.status()["used_bytes"] <= 260
        assert sum(bench.loaded.values()) <= 260
        for name, (_, calls) in bench.models.items():
            assert name not in bench.loaded or all(called in bench.loaded for called in calls)
    for name in bench.models:
        bench.ask(operation="unpin", model=name)
    bench.wait(305)
    assert all(len(answers) == 1 for answers in waiting)
    assert any(isinstance(answers[0], dict) for answers in waiting)


def test_one_reading_of_the_index_answers_all_who_asked_before_it_began():
    bench = Bench(THREE, 1000)
    early = [bench.ask(operation="index") for _ in range(3)]
    late = bench.ask(operation="index")
    assert bench.jobs.count(("index", "")) == 1

    def read(rows, reason=""):
        bench.jobs.remove(("index", ""))
        bench.manager.indexed(rows, reason)
        bench.step()

    rows = [{"name": "a", "version": "1", "state": "READY"}]
    read(rows)
    assert early[0] == [{"models": rows}]
    assert not early[1] and not late, "they asked after it began"
    read(rows)
    assert early[1:] == [[{"models": rows}]] * 2 and late == [{"models": rows}]
    failed = bench.ask(operation="index")
    read([], "connection refused")
    assert refused(failed) == (
        "UNAVAILABLE",
        "the server does not tell its models: connection refused",
    )


def test_who_waits_too_long_for_the_index_is_told_so_and_disturbs_no_other():
    bench = Bench(THREE, 1000)
    impatient = bench.ask(operation="index", timeout=1)
    bench.now += 2
    bench.step()
    assert refused(impatient) == ("UNAVAILABLE", "the server did not answer in time")
    patient = bench.ask(operation="index")
    assert bench.jobs.count(("index", "")) == 1, "not a second one beside it"
    bench.jobs.remove(("index", ""))
    bench.manager.indexed([{"name": "old"}])
    bench.step()
    assert not patient
    bench.manager.close()
    bench.manager.indexed([{"name": "new"}])
    bench.step()
    assert "loaded again" in refused(patient)[1]


def test_a_model_that_was_there_for_a_while_can_be_forgotten():
    bench = Bench(THREE, 1000)
    bench.models = {**THREE, "a.candidate": (100, [])}
    bench.ensure("a.candidate", models={"a.candidate": {"bytes": 100}})
    assert refused(bench.ask(operation="forget", model="a.candidate"))[0] == "INVALID_ARG"
    bench.settle()
    assert refused(bench.ask(operation="forget", model="a.candidate"))[0] == "INVALID_ARG"
    bench.ask(operation="release", model="a.candidate")
    bench.settle()
    (answer,) = bench.ask(operation="forget", model="a.candidate")
    assert answer == {"model": "a.candidate", "state": "forgotten"}
    del bench.models["a.candidate"]
    assert set(bench.status()["models"]) == set(THREE)
    assert "a.candidate" not in bench.manager.keep()["models"]
    assert refused(bench.ensure("a.candidate"))[0] == "NOT_FOUND"
