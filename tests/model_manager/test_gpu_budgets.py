"""Budgets of main memory and of GPUs at once, on a clock and a server that the test moves."""

import random

from clockwork import Bench, refused

from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes, read, shown, told

BUDGET = {"host": 1000, "0": 100, "1": 100}
MODELS = {
    "left": ({"host": 10, "0": 60}, []),
    "left_too": ({"host": 10, "0": 60}, []),
    "right": ({"host": 10, "1": 60}, []),
    "wide": ({"host": 10, "0": 50, "1": 50}, []),
    "elsewhere": ({"host": 10, "7": 10**12}, []),
    "plain": ({"host": 300}, []),
}


def test_only_what_takes_the_memory_that_lacks_has_to_go():
    bench = Bench(MODELS, BUDGET)
    bench.load("plain", "right", "left")
    bench.now += 5
    answers = bench.ensure("left_too")
    assert bench.begun[-1] == ("unload", "left"), "plain and right were used longer ago"
    bench.settle()
    assert answers[0]["gpu_bytes"] == {"0": 60}
    assert set(bench.loaded) == {"plain", "right", "left_too"}


def test_a_model_on_two_gpus_has_to_find_room_on_both():
    bench = Bench(MODELS, BUDGET)
    bench.load("left", "right")
    bench.now += 5
    bench.ensure("wide")
    bench.settle()
    assert set(bench.loaded) == {"wide"}
    gpus = bench.status()["gpus"]
    assert gpus == {
        "0": {"budget_bytes": 100, "used_bytes": 50},
        "1": {"budget_bytes": 100, "used_bytes": 50},
    }


def test_a_gpu_without_a_budget_has_no_limit():
    bench = Bench(MODELS, BUDGET)
    bench.load("elsewhere")
    assert "7" not in bench.status()["gpus"]


def test_refusals_name_the_memory():
    bench = Bench(MODELS, {**BUDGET, "0": 55})
    code, text = refused(bench.ensure("left"))
    assert code == "UNAVAILABLE"
    assert "needs 0.0 MiB and 0.0 MiB of GPU 0" in text
    assert "--gpu-memory" in text
    bench.ask(operation="pin", model="wide")
    bench.load("wide")
    (answer,) = bench.ask(operation="budget", gpu_bytes={"0": 90})
    assert answer["gpus"]["0"] == {"budget_bytes": 90, "used_bytes": 50}
    assert answer["budget_bytes"] == 1000
    assert (
        "are pinned (wide); unpin what may go, or give it more" in refused(bench.ensure("left"))[1]
    )


def test_what_the_driver_does_not_tell_stays_estimated():
    bench = Bench(MODELS, BUDGET)
    bench.sizes["left"] = {"host": 25}  # a container in which the driver's processes are unknown
    bench.load("left")
    row = bench.status()["models"]["left"]
    assert (row["bytes"], row["gpu_bytes"]) == (25, {"0": 60})


def test_whatever_is_asked_for_no_budget_is_passed():
    for seed in range(20):
        rng = random.Random(seed)
        memories = ["host", "0", "1"]
        models = {
            f"m{number}": (
                {memory: rng.choice([0, 0, 10, 30, 60]) for memory in memories},
                [f"m{rng.randrange(number)}"] if number and rng.random() < 0.3 else [],
            )
            for number in range(8)
        }
        bench = Bench(models, dict.fromkeys(memories, 150))
        waiting = []
        for _ in range(60):
            if rng.random() < 0.5:
                waiting.append(bench.ensure(rng.choice(list(models)), timeout=20))
            elif bench.jobs:
                bench.end(*rng.choice(bench.jobs))
            bench.now += rng.choice([0.1, 1.0, 3.0])
            bench.step()
            for memory in memories:
                in_use = sum(Sizes(size)[memory] for size in bench.loaded.values())
                assert in_use <= 150, (seed, memory)
        bench.wait(60)
        assert all(len(answers) == 1 for answers in waiting), seed


def test_sizes_are_told_and_read():
    assert told(read({"bytes": 5, "gpu_bytes": {"1": 7}})) == {"bytes": 5, "gpu_bytes": {"1": 7}}
    assert told(read({})) == {"bytes": 0}
    gib = 1 << 30
    assert shown(Sizes({"1": 3 * gib, "host": 1 << 20})) == "1.0 MiB and 3.00 GiB of GPU 1"
    assert shown(Sizes({"0": gib})) == "1.00 GiB of GPU 0"
    assert shown(Sizes()) == "0.0 MiB"
    assert Sizes({"host": 7}).times(3, 2) == {"host": 11}
