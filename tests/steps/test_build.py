"""Whole builds of a small model, judged by what stands in the repository afterwards."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import pytest
from linear import MODEL, write_linear
from rich.console import Console

from nosbuild.cli.variant_table import variant_table
from nosbuild.errors import HostError, Refused, SampleError, SpecError
from nosbuild.plan.host import version_of
from nosbuild.repository.check import check_repository
from nosbuild.repository.listing import list_models
from nosbuild.repository.lock import read_lock
from nosbuild.steps import build


def cached(result):
    return {outcome.step: outcome.cached for outcome in result.steps}


def reasons(result):
    return {outcome.step: outcome.why for outcome in result.steps}


def answer(result):
    session = onnxruntime.InferenceSession(result.folder / str(result.version) / "model.onnx")
    return session.run(None, {"x": np.eye(4, dtype=np.float32)[1:2]})[0].item()


def state(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
    }


def test_a_build_publishes_a_proven_model(built):
    assert (built.version, built.is_new, built.variant) == (1, True, "onnx-fp32")
    assert built.proof.passed
    assert built.items_per_second > 0
    assert answer(built) == pytest.approx(1.0)
    assert check_repository(built.folder.parent) == []
    steps = cached(built)
    assert list(steps)[:3] == ["export", "references", "prove onnx-fp32"]
    assert list(steps)[-3:] == ["measure", "memory", "publish"]
    assert not any(steps.values())


def test_a_build_tells_what_an_instance_holds(built):
    (memory,) = [row.memory for row in built.report.variants if row.memory]
    assert 20_000_000 < memory.idle <= memory.peak < 1_000_000_000
    assert read_lock(built.folder / "1/nos.lock").memory == memory.model_dump(exclude_none=True)
    (row,) = list_models(built.folder.parent)
    assert row.memory_bytes == memory.peak  # of its one instance
    console = Console(width=120)
    with console.capture() as shown:
        console.print(variant_table(built))
    assert " each" in shown.get()
    assert "holds" in (built.folder / "report.html").read_text()


def test_nothing_is_written_where_nothing_changed(built):
    before = state(built.folder.parent)
    again = build(built.folder)
    assert all(cached(again).values())
    assert not again.is_new
    assert state(built.folder.parent) == before


def test_a_copy_elsewhere_in_another_repository(built, tmp_path):
    other = build(built.folder, tmp_path / "new" / "repository")
    assert (other.version, other.is_new) == (1, True)
    assert [step for step, was_cached in cached(other).items() if not was_cached] == ["publish"]
    assert not (other.folder / "model.yaml").exists()
    assert check_repository(tmp_path / "new" / "repository") == []


def test_weights_that_changed_are_built_again(repository):
    """One file is opened by Python, one by another process: no event tells of that."""
    native = "subprocess.check_output(['cat', str(Path(__file__).with_name('scale.bin'))])"
    model = "import subprocess\n" + MODEL.replace(
        "    corners =", f"    weights = weights * np.frombuffer({native})\n    corners ="
    )
    folder = write_linear(repository / "linear", model=model)
    (folder / "scale.bin").write_bytes(np.float64(1).tobytes())
    assert answer(build(folder)) == pytest.approx(1.0)

    np.save(folder / "weights.npy", np.arange(4.0) * 10)
    again = build(folder)
    assert reasons(again)["export"] == f"{folder / 'weights.npy'} has changed"
    assert (again.version, answer(again)) == (2, pytest.approx(10.0))

    (folder / "scale.bin").write_bytes(np.float64(3).tobytes())
    again = build(folder)
    assert reasons(again)["export"] == f"{folder / 'scale.bin'} has changed"
    assert (again.version, answer(again)) == (3, pytest.approx(30.0))


@contextmanager
def edited(folder, more):
    """The model.yaml says more for a while."""
    file = folder / "model.yaml"
    text = file.read_text()
    try:
        file.write_text(text + more)
        yield
    finally:
        file.write_text(text)


def published(folder):
    return {name: found for name, found in state(folder).items() if name != "model.yaml"}


def test_settings_alone_run_no_step_again(built, repository):
    build(built.folder, repository)
    with edited(built.folder, "batching: {max_delay_us: 9}\nmax_execution_seconds: 60\n"):
        again = build(built.folder, repository)
    assert [step for step, was_cached in cached(again).items() if not was_cached] == ["publish"]
    assert (again.version, again.is_new) == (2, True)


def test_what_changed_is_told_and_few_locks_are_kept(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    folder = write_linear(repository / "linear")
    assert reasons(build(folder))["export"] == "never made with these inputs"
    file = folder / "model.yaml"
    file.write_text(file.read_text().replace("batch: 1", "batch: 1..2"))
    again = reasons(build(folder))
    assert again["export"] == "dims changed"
    assert again["references"] == "dims changed"
    assert "dims changed" in again["prove onnx-fp32"]
    file.write_text(file.read_text() + "quality: {relative: 0.01}\n")
    again = reasons(build(folder))
    proof = "prove onnx-fp32"
    assert (again["references"], again[proof]) == ("nothing changed", "quality changed")
    assert again["measure"] == "nothing changed"
    versions = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "0.0.1" if name == "skl2onnx" else versions(name)
    )
    version_of.cache_clear()
    try:
        assert reasons(build(folder))["export"] == f"skl2onnx {versions('skl2onnx')} -> 0.0.1"
    finally:
        version_of.cache_clear()
    steps = [path.name for path in (tmp_path / "cache/locks").glob("step-*")]
    assert all(len(name) == len("step-00.lock") for name in steps)


def test_a_failed_proof_leaves_what_was_published(built):
    before = published(built.folder)
    with (
        edited(built.folder, "quality: {y: {relative: 1e-30}}\n"),
        pytest.raises(Refused, match="not proven, and not published") as caught,
    ):
        build(built.folder)
    assert "relative <= 1e-30" in caught.value.message
    assert published(built.folder) == before


def test_code_that_raises_leaves_what_was_published(built, tmp_path, monkeypatch):
    (tmp_path / "raising_rows.py").write_text("def rows():\n    raise KeyError('no data')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    before = published(built.folder)
    with (
        edited(built.folder, 'samples: "raising_rows:rows"\n'),
        pytest.raises(SampleError, match="KeyError: 'no data'"),
    ):
        build(built.folder)
    assert published(built.folder) == before


@pytest.mark.parametrize(
    ("body", "message", "options"),
    [
        ("import os; os.kill(os.getpid(), 9)", "was killed (out of memory?)", {}),
        ("import os; os.abort()", "crashed (SIGABRT)", {}),
        (
            "import os; print('a last word'); os._exit(7)",
            "ended with exit code 7 and no result",
            {},
        ),
        ("while True: pass", "did not end within 4 s", {"step_timeout": 4}),
    ],
)
def test_a_step_that_dies_is_a_refusal_with_a_reason(repository, body, message, options):
    folder = write_linear(repository / "linear", model=f"def fit():\n    {body}\n")
    with pytest.raises(Refused) as caught:
        build(folder, **options)
    assert message in caught.value.message
    assert "linear-export.log" in caught.value.message
    if "last word" in body:
        assert "a last word" in caught.value.message
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.py",
        "model.yaml",
        "weights.npy",
    ]


def test_processes_that_a_step_leaves_are_ended(repository):
    body = "import subprocess; subprocess.Popen(['sleep', '7654.3']); raise ValueError('end')"
    folder = write_linear(repository / "linear", model=f"def fit():\n    {body}\n")
    with pytest.raises(Exception, match="ValueError: end"):
        build(folder)
    assert not sleeping("7654.3")


def test_settings_are_checked_before_anything_runs(repository):
    folder = write_linear(repository / "linear", more="raw: {unheard_of: 1}\n")
    with pytest.raises(SpecError, match="unheard_of"):
        build(folder)


def _build(folder, gate, results):
    gate.wait()
    result = build(folder)
    results.put((result.version, result.is_new))


def test_two_builds_at_the_same_time_make_one_version(repository):
    folder = write_linear(repository / "linear", more="description: built twice\n")
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(2), context.Queue()
    builds = [context.Process(target=_build, args=(folder, gate, results)) for _ in range(2)]
    for process in builds:
        process.start()
    for process in builds:
        process.join()
    assert [process.exitcode for process in builds] == [0, 0]
    assert sorted(results.get() for _ in builds) == [(1, False), (1, True)]
    assert check_repository(repository) == []


def test_a_cache_on_a_full_disk(built, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(small_disk / "cache"))
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 16384))
    before = state(built.folder)
    with pytest.raises(HostError, match="full") as caught:
        build(built.folder)
    assert "Free some space" in caught.value.remedy
    assert state(built.folder) == before


def test_a_cache_that_cannot_be_written(built, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(HostError, match=r"build cache .* cannot be written") as caught:
        build(built.folder)
    assert "NOSBUILD_CACHE" in caught.value.remedy


SLOW = "def fit():\n    import time\n    open('{flag}', 'w').close()\n    time.sleep(600.25)\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_interrupted_build_leaves_nothing(repository, tmp_path, number, code):
    flag = tmp_path / "running"
    folder = write_linear(repository / "linear", model=SLOW.format(flag=flag))
    before = state(repository)
    command = Path(sys.executable).with_name("nosbuild")
    running = subprocess.Popen(
        [command, "build", str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not flag.exists():
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    (child,) = psutil.Process(running.pid).children()
    os.kill(running.pid, number)
    errors = running.communicate()[1]
    assert running.returncode == code
    assert "Traceback" not in errors
    assert ("interrupted; linear stays as it was" in errors) == (number == signal.SIGINT)
    psutil.wait_procs([child])
    assert state(repository) == before


def sleeping(seconds):
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", seconds]
    ]
