import json
import multiprocessing
import time

import pytest

from nosbuild.store.store import Entry, Miss, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "steps")


def make(store, key="k", text="made", read=None):
    with store.draft(key) as draft:
        (draft.folder / "sub").mkdir()
        (draft.folder / "sub/file").write_text(text)
        draft.result = {"n": 1}
        draft.read = {str(path): digest for path, digest in (read or {}).items()}


def reason(store, key="k"):
    found = store.find(key)
    assert isinstance(found, Miss)
    return found.reason


def left(store):
    return sorted(path.name for path in store.root.iterdir())


def test_what_was_made_is_found(store):
    make(store)
    found = store.find("k")
    assert isinstance(found, Entry)
    assert (found.result, found.read) == ({"n": 1}, {})
    assert (found.folder / "sub/file").read_text() == "made"
    assert left(store) == ["k"]


def test_another_key_is_a_miss(store):
    make(store)
    assert reason(store, "other") == "never made with these inputs"


def test_made_again_replaces(store):
    make(store)
    make(store, text="again")
    assert (store.find("k").folder / "sub/file").read_text() == "again"
    assert left(store) == ["k"]


def test_a_corrupt_file_is_a_miss_until_made_again(store):
    make(store)
    (store.root / "k/sub/file").write_text("else")
    assert reason(store) == "the cached sub/file is corrupt"
    make(store)
    assert isinstance(store.find("k"), Entry)


def test_a_missing_file_is_a_miss(store):
    make(store)
    (store.root / "k/sub/file").unlink()
    assert reason(store).startswith("the cached entry is unreadable")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files": []}', '{"files": {}, "read": []}']
)
def test_a_corrupt_record_is_a_miss(store, text):
    make(store)
    (store.root / "k/entry.json").write_text(text)
    assert reason(store).startswith("the cached entry is unreadable")


def test_a_record_that_is_no_text_is_a_miss(store):
    make(store)
    (store.root / "k/entry.json").write_bytes(b"\xff")
    assert reason(store).startswith("the cached entry is unreadable")


def test_a_changed_read_file_is_a_miss_that_names_it(store, tmp_path):
    from nosbuild.store.hashing import sha256_of_file

    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    make(store, read={weights: sha256_of_file(weights)})
    assert isinstance(store.find("k"), Entry)
    weights.write_bytes(b"2")
    assert reason(store) == f"{weights} has changed"
    weights.unlink()
    assert reason(store) == f"{weights} has changed"
    weights.write_bytes(b"1")
    assert isinstance(store.find("k"), Entry)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_keeps_nothing(store, error):
    with pytest.raises(error), store.draft("k") as draft:
        (draft.folder / "file").write_text("half")
        draft.result = {}
        raise error
    assert left(store) == []
    assert isinstance(store.find("k"), Miss)


def test_an_exception_leaves_the_entry_that_was_there(store):
    make(store)
    with pytest.raises(ValueError, match="no"), store.draft("k"):
        raise ValueError("no")
    assert isinstance(store.find("k"), Entry)


def test_without_a_result_nothing_is_kept(store):
    with store.draft("k") as draft:
        (draft.folder / "file").write_text("half")
    assert left(store) == []


def _hold(root, gate):
    with Store(root).draft("other"):
        gate.wait()
        time.sleep(600)


def test_what_a_killed_process_left_is_removed_with_the_next_draft(store):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(2)
    process = context.Process(target=_hold, args=(store.root, gate))
    process.start()
    gate.wait()
    make(store)
    assert len(left(store)) == 2  # its process lives
    process.kill()
    process.join()
    make(store)
    assert left(store) == ["k"]


def _make_many(root, text, gate):
    store = Store(root)
    gate.wait()
    for _ in range(100):
        make(store, text=text)


def test_two_processes_make_the_same_entry(store):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(2)
    made = [
        context.Process(target=_make_many, args=(store.root, text, gate)) for text in ("a", "b")
    ]
    for process in made:
        process.start()
    for process in made:
        process.join()
    assert [process.exitcode for process in made] == [0, 0]
    assert (store.find("k").folder / "sub/file").read_text() in ("a", "b")
    assert left(store) == ["k"]


def test_an_entry_is_json_and_tells_what_it_is_about(store):
    with store.draft("k") as draft:
        draft.result, draft.about = {"n": 1}, {"step": "export", "model": "minilm"}
    record = json.loads((store.root / "k/entry.json").read_text())
    assert set(record) == {"about", "files", "read", "result", "sha256"}
    assert record["about"] == {"step": "export", "model": "minilm"}


def test_a_result_that_is_not_as_it_was_written_is_a_miss(store):
    make(store)
    record = store.root / "k/entry.json"
    record.write_text(record.read_text().replace('"n": 1', '"n": 2'))
    assert reason(store) == "the cached entry is unreadable (entry.json is not as it was written)"


def test_an_entry_of_an_older_version_is_found(store):
    make(store)
    record = store.root / "k/entry.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({name: content[name] for name in ("files", "read", "result")}))
    assert store.find("k").result == {"n": 1}
