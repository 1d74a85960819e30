"""Scripts that run one step alone, and what becomes of a step that fails."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from linear import write_linear

from nosbuild.errors import HostError, InternalError, SourceError
from nosbuild.repository.layout import REPRODUCE
from nosbuild.steps.isolate import Isolated, run_isolated
from nosbuild.steps.reproduce import keep_scripts, script_name, write_script
from nosbuild.store.folders import steps_folder
from nosbuild.store.store import Store

HERE = str(Path(__file__).parent)


@pytest.fixture
def step(tmp_path, monkeypatch):
    """``step(function, **arguments)``: a step of a small model, in a cache of its own."""
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    folder = write_linear(tmp_path / "repository/linear")

    def make(function, **arguments):
        out = tmp_path / "draft/entry"
        out.mkdir(parents=True, exist_ok=True)
        log = tmp_path / "cache/logs/linear-step.log"
        return Isolated(function, folder / "model.yaml", out, arguments, log, timeout=60)

    return make


def run(script, *arguments, cwd="/", **environment):
    return subprocess.run(
        ["sh", str(script), *map(str, arguments)],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(script.parent), **environment},
        capture_output=True,
        text=True,
    )


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_script_runs_its_step_from_anywhere_and_changes_nothing_else(step, tmp_path):
    export = step("nosbuild.steps.functions:export")
    script = write_script(tmp_path / "scripts", "export", export)
    assert os.access(script, os.X_OK)
    before = tree(tmp_path / "repository")
    done = run(script, tmp_path / "made")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["out"] == str(tmp_path / "made")
    assert [row["name"] for row in answer["result"]["inputs"]] == ["x"]
    assert any(name.endswith("weights.npy") for name in answer["read"])
    session = onnxruntime.InferenceSession(tmp_path / "made/model.onnx")
    found = session.run(None, {"x": np.eye(4, dtype=np.float32)[1:2]})[0].item()
    assert found == pytest.approx(1.0)
    assert tree(tmp_path / "repository") == before
    assert not steps_folder().exists()


def describe(spec, out, artifact):
    print("printed on the way")
    os.write(1, b"by native code too\n")
    (out / "copy").write_bytes(Path(artifact).read_bytes())
    return {"seed": os.environ["PYTHONHASHSEED"], "directory": str(Path.cwd())}


@pytest.fixture
def describing(step, monkeypatch):
    """A step that takes what another one made."""
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    with Store(steps_folder()) as store, store.draft("k") as draft:
        (draft.folder / "model.onnx").write_text("made")
        draft.result = {}
    return step("test_reproduce:describe", artifact=str(steps_folder() / "k/model.onnx"))


def test_the_result_alone_is_on_standard_output(describing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = write_script(tmp_path / "scripts", "describe", describing)
    done = run(script)
    answer = json.loads(done.stdout)
    assert answer["result"] == {"seed": "0", "directory": str(tmp_path)}
    assert answer["out"].startswith(str(tmp_path / "scripts/nosbuild-describe-"))
    assert "printed on the way" in done.stderr and "by native code too" in done.stderr


def test_what_is_gone_from_the_cache_is_named(describing, tmp_path):
    script = write_script(tmp_path / "scripts", "describe", describing)
    (steps_folder() / "k").rename(tmp_path / "gone")
    done = run(script)
    assert done.returncode == HostError.exit_code
    assert f"{steps_folder()}/k/model.onnx, which an earlier step made, is not" in done.stderr
    assert f"nosbuild build {tmp_path}/repository/linear" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_holds_something_is_not_written_to(describing, tmp_path):
    script = write_script(tmp_path / "scripts", "describe", describing)
    done = run(script, tmp_path / "repository")
    assert done.returncode == 3
    assert "is there already" in done.stderr


def test_a_script_that_says_the_same_is_left_as_it_is(step, tmp_path):
    first = write_script(tmp_path, "export", step("nosbuild.steps.functions:export"))
    before = first.stat()
    write_script(tmp_path, "export", step("nosbuild.steps.functions:export"))
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    write_script(tmp_path, "export", step("nosbuild.steps.functions:export", a="it's $HOME"))
    assert "it's $HOME" in first.read_text()


def test_names_and_leftovers(step, tmp_path):
    request = step("nosbuild.steps.functions:export")
    for name in ("export", "prove onnx-int8", "rescue:a/../b"):
        write_script(tmp_path / REPRODUCE, name, request)
    names = {path.name for path in (tmp_path / REPRODUCE).iterdir()}
    assert names == {"export.sh", "prove-onnx-int8.sh", "rescue-a-..-b.sh"}
    keep_scripts(tmp_path / REPRODUCE, ["export"])
    assert [path.name for path in (tmp_path / REPRODUCE).iterdir()] == ["export.sh"]
    assert script_name("..") == "step.sh"


def fail(spec, out):
    raise KeyError("no such key")


def unserializable(spec, out):
    return {"a": object()}


def exhaust(spec, out):
    raise MemoryError


def write_full(spec, out):
    raise OSError(28, "No space left on device", "/some/file")


@pytest.fixture
def failing(step, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)

    def run_it(function):
        step_made = step(f"test_reproduce:{function}")
        run_isolated(step_made)

    return run_it


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("fail", InternalError, "raised KeyError: 'no such key'"),
        ("unserializable", InternalError, "raised TypeError: Object of type object"),
        ("exhaust", HostError, "ran out of memory"),
        ("write_full", HostError, "the disk is full"),
    ],
)
def test_what_no_step_should_raise_is_not_blamed_on_the_user(failing, function, error, message):
    with pytest.raises(error, match=message) as caught:
        failing(function)
    log = caught.value.remedy.rpartition("Log: ")[2]
    assert "Traceback" in Path(log).read_text()


def test_a_failed_step_leaves_a_script_that_fails_alike(step, tmp_path):
    request = step("nosbuild.steps.functions:export")
    code = tmp_path / "repository/linear/model.py"
    good = code.read_text()
    code.write_text("def fit():\n    raise ValueError('no data')\n")
    with pytest.raises(SourceError, match="no data") as caught:
        run_isolated(request)
    script = tmp_path / "cache/logs/linear-step.sh"
    assert f"This step alone: sh {script}\nLog: {request.log}" in caught.value.remedy
    done = run(script)
    assert done.returncode == 3
    assert "ValueError: no data" in done.stderr
    code.write_text(good)
    assert run_isolated(request)["result"]["inputs"]
    assert not script.exists()  # it went with the failure
