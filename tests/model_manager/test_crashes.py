"""What the manager does about workers that end by themselves, on a clock that the test moves."""

from clockwork import Bench, refused

from nosbuild.inside_triton.model_manager.nos_model_manager.crashes import Crash, Crashes

MODELS = {"a": (100, []), "b": (100, []), "both": (0, ["a", "b"])}
ENSEMBLE = {"both": {"platform": "ensemble"}}


def test_what_lost_its_workers_is_loaded_again_and_who_asks_meanwhile_waits():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    assert bench.crash("a")
    assert bench.begun[-1] == ("restart", "a")
    assert bench.asked["a"].restarts == 1
    answers = bench.ensure("a")
    assert not answers
    bench.end("restart", "a")
    assert answers[0]["state"] == "ready"
    row = bench.status()["models"]["a"]
    assert (row["state"], row["crashes"], row["loads"]) == ("ready", 1, 2)
    assert row["last_crash"] == {
        "reason": "its worker process was ended",
        "seconds_ago": 0.0,
        "log": ["a line"],
    }


def test_a_model_that_crashes_again_and_again_is_braked_each_time_for_longer():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    for _ in range(2):
        assert bench.crash("a")
        bench.end("restart", "a")
    bench.crash("a")
    assert bench.begun[-1] == ("drop", "a")
    code, text = refused(bench.ensure("a"))
    assert code == "INTERNAL"
    assert text.startswith("model 'a' is not loaded for now: its worker process ended 3 times; the")
    assert text.endswith("it is not tried again for 30.0 s (nosbuild load a tries it now)")
    bench.end("drop", "a")
    assert bench.status()["models"]["a"]["state"] == "unloaded"
    assert "is not loaded for now" in refused(bench.ensure("a"))[1]
    bench.now += 31
    bench.load("a")
    bench.crash("a")
    assert "it is not tried again for 60.0 s" in refused(bench.ensure("a"))[1]
    bench.end("drop", "a")
    bench.now += 1
    bench.ensure("a", again=True)  # its owner has mended it
    bench.settle()
    bench.crash("a")
    assert bench.begun[-1] == ("restart", "a"), "what was is forgiven"


def test_crashes_that_are_far_apart_brake_nothing():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    for _ in range(10):
        bench.crash("a")
        bench.end("restart", "a")
        bench.wait(61)
    assert bench.status()["models"]["a"]["crashes"] == 10
    assert ("drop", "a") not in bench.begun


def test_who_waits_for_what_is_braked_is_told():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    bench.crash_and_restart("a")
    waits = bench.ensure("a", again=True)  # wants it loaded again; it has begun
    bench.end("load", "a")
    assert waits
    bench.crash_and_restart("a")
    answers = bench.ensure("both")
    bench.crash("a")
    assert refused(answers)[1].startswith("model 'a', which 'both' calls, is not loaded for now")


def test_a_crash_during_a_load_is_told_again_later():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    bench.crash("a")
    assert not bench.crash("a"), "it is being loaded"
    bench.end("restart", "a")
    assert bench.crash("a")
    bench.end("restart", "a")
    bench.ask(operation="release", model="a")
    assert not bench.crash("a"), "how its unloading ends is not known yet"
    bench.end("unload", "a")
    assert bench.crash("a"), "it is gone"
    assert bench.begun[-1] == ("unload", "a")


def test_what_calls_a_model_is_not_called_ready_before_the_server_does():
    bench = Bench(MODELS, 1000, configs=ENSEMBLE)
    bench.load("both")
    bench.others = {"both": "UNLOADING"}
    bench.crash("a")
    answers = bench.ensure("both")
    bench.end("restart", "a")
    assert not answers, "Triton has not loaded it again yet"
    bench.others = {}
    bench.wait(1)
    assert answers[0]["state"] == "ready"
    assert bench.begun.count(("load", "both")) == 1, "Triton does it by itself"


def test_workers_that_are_left_stay_only_where_there_is_room_beside_the_new_ones():
    for budget, has_room in ((150, True), (149, False)):
        bench = Bench(MODELS, budget)
        bench.load("a")
        bench.crash("a", ended=1, survivors=1)
        assert bench.asked["a"].has_room == has_room
        assert bench.status()["used_bytes"] == (150 if has_room else 100)
        bench.end("restart", "a")
        assert bench.status()["used_bytes"] == 100


def test_an_unload_that_triton_never_ends_is_over_once_the_workers_are_gone():
    bench = Bench(MODELS, 100)
    bench.load("a")
    bench.crash_and_restart("a")
    bench.crash("a")
    bench.end("drop", "a")
    bench.others = {"a": "UNLOADING"}  # for ever
    bench.load("b")
    assert bench.status()["models"]["a"]["state"] == "unloaded"
    del bench.others["a"]
    bench.now += 31
    bench.load("a")
    assert bench.status()["models"]["a"]["state"] == "ready"


def test_memory_that_is_not_returned_is_told_and_counts():
    bench = Bench(MODELS, 250)
    bench.load("a")
    bench.now += 5
    bench.ask(operation="release", model="a")
    bench.settle()
    bench.loaded_beside = {"a": [70]}
    told = bench.status()
    assert told["models"]["a"]["not_returned"] == {"bytes": 70}
    assert told["used_bytes"] == 70
    bench.load("b")
    assert bench.status()["used_bytes"] == 170
    bench.loaded_beside = {}
    assert "not_returned" not in bench.status()["models"]["a"]


def test_a_brake_ends_with_a_load_that_works():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    bench.crash_and_restart("a")
    bench.crash("a")
    bench.end("drop", "a")
    bench.ensure("a", again=True)
    bench.settle()
    bench.ask(operation="release", model="a")
    bench.settle()
    bench.load("a")


def test_the_longest_brake_stays_the_longest():
    crashes, now, brakes = Crashes(), 0.0, []
    for _ in range(12):
        brakes.append(crashes.note(now, Crash("was ended")))
        now += brakes[-1] + 1.0
    assert brakes[:4] == [0.0, 0.0, 30.0, 60.0]
    assert brakes[8:] == [600.0] * 4
    assert crashes.note(now + 2000.0, Crash("was ended")) == 0.0, "it was calm for long enough"


def test_a_crash_is_kept_until_it_is_known_what_is_loaded():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    kept = bench.manager.keep()
    bench.manager = bench.new_manager()
    bench.manager.restore(kept)
    assert not bench.manager.crashed("a", lambda: Crash("was ended"))
    bench.step()
    assert bench.crash("a")
    assert bench.begun[-1] == ("restart", "a")


def test_a_crash_of_what_was_to_leave_is_not_forgotten_when_it_stays():
    bench = Bench({**MODELS, "c": (150, [])}, 170)
    bench.models = {"a": (60, []), "b": (60, []), "both": (0, ["a", "b"]), "c": (150, [])}
    bench.manager = bench.new_manager()
    bench.load("both")
    bench.now += 5
    bench.ensure("c")
    assert bench.status()["models"]["a"]["state"] == "leaving"
    assert not bench.crash("a")
    bench.ask(operation="pin", model="a")
    assert bench.crash("a")
    assert bench.begun[-1] == ("restart", "a")


def test_what_somebody_else_unloads_for_ever_is_loaded_again_when_it_is_asked_for():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    bench.others = {"a": "UNLOADING"}  # by the owner of the key
    bench.status()
    assert bench.crash("a")
    bench.loaded.pop("a")
    answers = bench.ensure("a")
    assert bench.begun[-1] == ("load", "a")
    bench.others = {}
    bench.settle()
    assert answers[0]["state"] == "ready"


def test_a_class_that_calls_what_is_loaded_again_stays_ready():
    bench = Bench({"a": (100, []), "cls": (50, ["a"])}, 1000)
    bench.load("cls")
    bench.crash("a")
    assert bench.status()["models"]["cls"]["state"] == "ready"


def test_who_waits_for_what_still_serves_is_not_told_that_another_load_of_it_failed():
    bench = Bench(MODELS, 1000)
    bench.load("a")
    again = bench.ensure("a", again=True)
    waits = bench.ensure("both")
    bench.end("load", "a", failure="no memory")
    assert "does not load" in refused(again)[1]
    assert not waits
    bench.settle()
    assert waits[0]["state"] == "ready"


def test_memory_that_is_still_returned_is_waited_for():
    bench = Bench({"a": (100, []), "b": (120, [])}, 160)
    bench.loaded_beside = {"a": [50]}
    answers = bench.ensure("b", timeout=30)
    assert not answers
    bench.loaded_beside = {}
    bench.wait(1)
    assert answers[0]["state"] == "ready"


def test_a_version_on_trial_is_not_loaded_again():
    bench = Bench({**MODELS, "a.candidate": (100, [])}, 1000)
    trial = {"a.candidate": {"bytes": 100, "is_trial": True}}
    bench.ensure("a.candidate", models=trial)
    bench.settle()
    bench.crash("a.candidate")
    assert bench.begun[-1] == ("drop", "a.candidate")
    assert "its worker process ended once" in refused(bench.ensure("a.candidate"))[1]
