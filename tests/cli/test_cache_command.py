"""`nosbuild cache` after a real build, in a cache folder of its own."""

import shutil

import pytest


@pytest.fixture
def own_cache(gallery_build, cache, tmp_path):
    """A copy of what a build left in its cache."""
    assert gallery_build[0].code == 0
    copy = tmp_path / "cache"
    copy.mkdir()
    for name in ("steps", "logs", "last"):
        shutil.copytree(cache / name, copy / name)
    return copy


@pytest.fixture
def command(nosbuild, own_cache):
    def run(*arguments, **environment):
        return nosbuild("cache", *arguments, NOSBUILD_CACHE=str(own_cache), **environment)

    return run


def steps(folder):
    return {path.name for path in (folder / "steps").iterdir()}


def test_ls_shows_the_steps_of_a_build(command, own_cache):
    done = command("ls")
    assert done.code == 0, done.err
    assert "breast_cancer" in done.out
    assert "export" in done.out
    assert "of at most 10.0 GB" in done.out
    told = command("ls", "--json").json
    assert told["folder"] == str(own_cache)
    assert told["limit_bytes"] == 10**10
    assert {step["key"] for step in told["steps"]} == steps(own_cache)
    assert {step["model"] for step in told["steps"]} == {"breast_cancer"}
    assert "export" in {step["step"] for step in told["steps"]}
    assert told["bytes"] == sum(step["bytes"] for step in told["steps"])


def test_ls_tells_a_corrupt_entry(command, own_cache):
    (model, *_) = (own_cache / "steps").glob("*/model.onnx")
    model.write_bytes(b"else")
    assert "is corrupt" not in command("ls").out
    done = command("ls", "--verify")
    assert done.code == 0
    assert "model.onnx is corrupt" in done.out
    (gone,) = command("prune", "--verify", "--json").json["steps"]
    assert (gone["key"], gone["problem"]) == (model.parent.name, "model.onnx is corrupt")
    assert not model.exists()


def test_prune_keeps_to_a_size(command, own_cache):
    before = steps(own_cache)
    would = command("prune", "--to", "10kB", "--dry-run", "--json").json
    assert steps(own_cache) == before
    done = command("prune", "--to", "10kB", "--json").json
    assert [row["key"] for row in done["steps"]] == [row["key"] for row in would["steps"]]
    assert done["kept_bytes"] <= 10_000
    assert steps(own_cache) == before - {row["key"] for row in done["steps"]}


def test_prune_keeps_to_the_limit_of_the_environment(command, own_cache):
    assert command("prune").out.startswith("freed 0.0 kB: 0 steps")
    done = command("prune", NOSBUILD_CACHE_LIMIT="0")
    assert done.code == 0
    assert steps(own_cache) == set()


def test_prune_all_and_older_than(command, own_cache):
    assert command("prune", "--older-than", "1h", "--json").json["freed_bytes"] == 0
    assert command("prune", "--all").code == 0
    assert steps(own_cache) == set()
    assert not list((own_cache / "logs").iterdir())
    assert "0 steps, 0.0 kB" in command("ls").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "--to", "five"], "'five' is no size"),
        (["prune", "--older-than", "5GB"], "'5GB' is no duration"),
    ],
)
def test_what_is_no_quantity(command, arguments, message):
    assert message in command(*arguments).failed(3)


def test_a_limit_that_is_none(command):
    message = command("ls", NOSBUILD_CACHE_LIMIT="x").failed(3)
    assert "NOSBUILD_CACHE_LIMIT: 'x' is no size" in message
    assert "of at most" not in command("ls", NOSBUILD_CACHE_LIMIT="off").out
