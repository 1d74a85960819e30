"""What goes when the cache is too large, and what a running build keeps."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest

from nosbuild.errors import HostError, InputError
from nosbuild.store.contents import stored_steps
from nosbuild.store.limit import cache_limit, parse_age, parse_size
from nosbuild.store.store import NEVER_MADE, Entry, Store
from nosbuild.store.trim import trim

DAY = 86400


@pytest.fixture
def root(tmp_path):
    return tmp_path / "steps"


@pytest.fixture
def fill(root):
    """Makes an entry of some kilobytes for each key; the first was used longest ago."""

    def make(*keys, kilobytes=10):
        with Store(root) as store:
            for age, key in enumerate(reversed(keys)):
                with store.draft(key) as draft:
                    (draft.folder / "model.onnx").write_bytes(b"x" * kilobytes * 1000)
                    draft.result, draft.about = {}, {"step": "export", "model": key}
                when = time.time() - age * DAY
                os.utime(root / key / "entry.json", (when, when))

    return make


def keys(root):
    return sorted(path.name for path in root.iterdir())


def removed(trimmed):
    return [step.key for step in trimmed.removed]


def test_entries_are_told_with_step_model_size_and_age(root, fill):
    fill("a", "b")
    b, a = stored_steps(root)
    assert (a.key, a.step, a.model, a.in_use, a.problem) == ("a", "export", "a", False, "")
    record = (root / "a/entry.json").stat()
    assert a.bytes == 10_000 + record.st_size
    assert b.last_used - a.last_used == pytest.approx(DAY, abs=60)


def test_the_least_recently_used_goes_first(root, fill):
    fill("a", "b", "c")
    done = trim(root, 25_000)
    assert removed(done) == ["a"]
    assert keys(root) == ["b", "c"]
    assert 20_000 < done.kept_bytes < 25_000


def test_finding_an_entry_is_using_it(root, fill):
    fill("a", "b", "c")
    with Store(root) as store:
        assert isinstance(store.find("a"), Entry)
    assert removed(trim(root, 25_000)) == ["b"]


def test_nothing_goes_below_the_limit(root, fill):
    fill("a", "b")
    assert removed(trim(root, 10**9)) == []
    assert removed(trim(root, None)) == []
    assert keys(root) == ["a", "b"]


def test_old_entries_go_whatever_the_limit(root, fill):
    fill("a", "b", "c")
    assert removed(trim(root, None, older_than=1.5 * DAY)) == ["a"]


def test_a_dry_run_removes_nothing(root, fill):
    fill("a", "b")
    assert removed(trim(root, 0, dry_run=True)) == ["a", "b"]
    assert keys(root) == ["a", "b"]


def test_a_cache_that_is_not_there_yet(root):
    assert trim(root, 0).removed == ()
    assert not root.exists()


def spoil_record(entry):
    (entry / "entry.json").write_text("{")


def drop_record(entry):
    (entry / "entry.json").unlink()


def drop_file(entry):
    (entry / "model.onnx").unlink()


@pytest.mark.parametrize("damage", [spoil_record, drop_record, drop_file])
def test_broken_entries_are_told_and_go(root, fill, damage):
    fill("a", "b")
    damage(root / "b")
    assert {step.key: bool(step.problem) for step in stored_steps(root)} == {"a": False, "b": True}
    assert removed(trim(root, None)) == ["b"]
    assert keys(root) == ["a"]


def test_changed_bytes_are_told_where_they_are_read_again(root, fill):
    fill("a")
    (root / "a/model.onnx").write_bytes(b"y" * 10_000)
    assert [step.problem for step in stored_steps(root)] == [""]
    assert [step.problem for step in stored_steps(root, verify=True)] == ["model.onnx is corrupt"]
    assert removed(trim(root, None, verify=True)) == ["a"]


def _use(root, found, make, said, gate):
    store = Store(root)
    assert isinstance(store.find(found), Entry)
    if make:
        with store.draft(make) as draft:
            draft.result = {}
    said.set()
    gate.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_another_process_found_or_made_stays_until_that_ends(root, fill):
    fill("a", "b")
    context = multiprocessing.get_context("spawn")
    said, gate = context.Event(), context.Event()
    build = context.Process(target=_use, args=(root, "a", "made", said, gate))
    build.start()
    assert said.wait(60)
    assert {step.key for step in stored_steps(root) if step.in_use} == {"a", "made"}
    assert removed(trim(root, 0)) == ["b"]
    assert (root / "a/model.onnx").is_file()
    gate.set()
    build.join()  # killed: the kernel lets go
    assert removed(trim(root, 0)) == ["a", "made"]
    assert keys(root) == []


def test_an_entry_in_use_stays_until_it_is_released(root, fill):
    fill("a")
    store = Store(root)
    store.find("a")
    assert removed(trim(root, 0)) == []
    store.release()
    assert removed(trim(root, 0)) == ["a"]
    assert store.find("a") == NEVER_MADE


def test_a_store_that_is_forgotten_releases(root, fill):
    fill("a")
    Store(root).find("a")
    assert removed(trim(root, 0)) == ["a"]


def _find_often(root, gate, found, enough):
    gate.wait()
    whole = 0
    while not (enough.is_set() and whole):
        store = Store(root)
        entry = store.find("a")
        if isinstance(entry, Entry):
            # Whoever found it can read all of it, however often others trim.
            whole += (entry.folder / "model.onnx").stat().st_size == 10_000
        else:
            assert entry == NEVER_MADE
            with store.draft("a") as draft:
                (draft.folder / "model.onnx").write_bytes(b"x" * 10_000)
                draft.result = {}
        store.release()
    found.put(whole)


def test_finding_and_trimming_at_the_same_time(root):
    context = multiprocessing.get_context("spawn")
    gate, found, enough = context.Barrier(2), context.Queue(), context.Event()
    build = context.Process(target=_find_often, args=(root, gate, found, enough))
    build.start()
    gate.wait()
    gone = turns = 0
    while build.is_alive() and found.empty():
        gone += len(trim(root, 0).removed)
        turns += 1
        if gone >= 10 and turns >= 300:
            enough.set()
    build.join()
    assert build.exitcode == 0
    assert found.get() > 0
    assert gone >= 10


def test_what_killed_builds_left_goes_with_a_trim(root):
    context = multiprocessing.get_context("spawn")
    said = context.Event()
    build = context.Process(target=_draft, args=(root, said))
    build.start()
    assert said.wait(60)
    trim(root, 0)
    assert len(keys(root)) == 1  # its process lives
    build.kill()
    build.join()
    trim(root, 0)
    assert keys(root) == []


def _draft(root, said):
    with Store(root).draft("k"):
        said.set()
        time.sleep(600)


def test_a_cache_that_cannot_be_written(small_disk):
    root = small_disk / "steps"
    with Store(root) as store, store.draft("a") as draft:
        draft.result = {}
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert isinstance(Store(root).find("a"), Entry)
    # Nothing on it can be removed; that is told where it was asked for.
    (step,) = stored_steps(root)
    assert step.problem == ""
    with pytest.raises(HostError, match="read-only") as caught:
        trim(root, 0)
    assert "NOSBUILD_CACHE" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("0", 0), ("12B", 12)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY), ("12h", DAY / 2), ("2w", 14 * DAY), ("0", 0)]
)
def test_ages(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "GB", "5 apples", "-5GB", "5GB or so", "5d"])
def test_what_is_no_size(text):
    with pytest.raises(InputError, match="is no size"):
        parse_size(text)


def test_the_limit_of_the_environment(monkeypatch):
    monkeypatch.delenv("NOSBUILD_CACHE_LIMIT", raising=False)
    assert cache_limit() == 10 * 10**9
    monkeypatch.setenv("NOSBUILD_CACHE_LIMIT", "2GB")
    assert cache_limit() == 2 * 10**9
    monkeypatch.setenv("NOSBUILD_CACHE_LIMIT", "off")
    assert cache_limit() is None
    monkeypatch.setenv("NOSBUILD_CACHE_LIMIT", "plenty")
    with pytest.raises(InputError, match="NOSBUILD_CACHE_LIMIT: 'plenty' is no size"):
        cache_limit()
