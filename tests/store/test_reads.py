import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from nosbuild.store.hashing import sha256_of_file
from nosbuild.store.reads import recorded_reads


@pytest.fixture
def place(tmp_path):
    """Folders: the model's own, the step's scratch, and one elsewhere."""
    for name in ("model", "scratch", "else"):
        (tmp_path / name).mkdir()
    return tmp_path


def record(place, read):
    with recorded_reads(place / "model", place / "scratch") as found:
        read()
    return found


@pytest.mark.parametrize("folder", ["model", "else"])
@pytest.mark.parametrize(
    "read",
    [
        lambda file: file.read_bytes(),
        lambda file: np.load(file),
        lambda file: np.load(file, mmap_mode="r"),
        lambda file: np.fromfile(file),
        lambda file: os.close(os.open(file, os.O_RDONLY)),
        lambda file: open(os.fsencode(file)).close(),  # noqa: PTH123 - bytes are a path too
    ],
)
def test_files_read_are_told_with_their_digest(place, folder, read):
    file = place / folder / "weights.npy"
    np.save(file, np.zeros(3))
    assert record(place, lambda: read(file)) == {str(file): sha256_of_file(file)}


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth"])
def test_torch_checkpoints_are_told(place, name):
    torch = pytest.importorskip("torch")
    file = place / "else" / name
    torch.save({"w": torch.zeros(2)}, file)
    for mmap in (False, True):
        found = record(place, lambda mmap=mmap: torch.load(file, mmap=mmap))
        assert found[str(file)] == sha256_of_file(file)


def test_relative_names_are_told_in_full(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "else/a").write_text("1")
    assert list(record(place, Path("else/a").read_bytes)) == [str(place / "else/a")]


def test_files_written_do_not_count(place):
    for mode in ("w", "a", "x", "r+"):
        file = place / "else" / mode.replace("+", "_")
        if mode == "r+":
            file.touch()
        assert record(place, lambda file=file, mode=mode: file.open(mode).close()) == {}


def test_the_scratch_does_not_count(place):
    (place / "scratch/a").write_text("1")
    assert record(place, (place / "scratch/a").read_bytes) == {}


def test_files_that_are_gone_do_not_count(place):
    file = place / "else/a"
    file.touch()
    assert record(place, lambda: (file.read_bytes(), file.unlink())) == {}


def test_code_counts_in_the_models_folder_alone(place):
    for folder in ("model", "else"):
        (place / folder / "code.py").touch()
    found = record(place, lambda: [p.read_text() for p in place.glob("*/code.py")])
    assert list(found) == [str(place / "model/code.py")]


def test_a_module_that_python_takes_from_its_cache_counts(place):
    file = place / "model/part.py"
    file.write_text("x = 1\n")

    def load():
        spec = importlib.util.spec_from_file_location("part_of_a_model", file)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        load()
    finally:
        sys.dont_write_bytecode = writes
    assert list(file.parent.glob("__pycache__/*.pyc"))
    assert record(place, load) == {str(file): sha256_of_file(file)}


def test_what_is_read_before_and_after_does_not_count(place):
    file = place / "else/a"
    file.touch()
    file.read_bytes()
    found = record(place, lambda: None)
    file.read_bytes()
    assert found == {}


def test_reads_are_told_where_the_block_raises(place):
    file = place / "else/a"
    file.touch()
    with (
        pytest.raises(ValueError, match="no"),
        recorded_reads(place / "model", place / "scratch") as found,
    ):
        file.read_bytes()
        raise ValueError("no")
    assert list(found) == [str(file)]
