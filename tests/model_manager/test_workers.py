"""Whose processes are whose, read from a folder laid out as /proc is, and from /proc itself."""

import os
import subprocess
import sys

from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes
from nosbuild.inside_triton.model_manager.nos_model_manager.workers import (
    memory_of,
    workers_of_models,
)

TRITON = 100
GPUS = {102: Sizes({"0": 7, "1": 3}), 103: Sizes({"0": 3}), 999: Sizes({"0": 5})}


def process(proc, pid, parent, *words, pss=0, pages=None):
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} (a name) with) S {parent} 1 1 0")
    (folder / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
    if pages is None:
        (folder / "smaps_rollup").write_text(f"0-f ---p 0 [rollup]\nRss: 9 kB\nPss: {pss} kB\n")
    else:
        (folder / "statm").write_text(f"999 {pages} 1")


def test_each_worker_counts_for_its_model_with_what_it_started(tmp_path):
    process(tmp_path, TRITON, 1, "tritonserver")
    process(tmp_path, 101, TRITON, "stub", "shm", "ocr_0_0", "DEFAULT", pss=1)
    process(tmp_path, 102, TRITON, "stub", "shm", "ocr_0_1", "DEFAULT", pss=2)
    process(tmp_path, 103, 102, "stub", "shm", "ocr_0_1", pss=4)  # it forked
    process(tmp_path, 104, TRITON, "stub", "ocr_1_0_0", pss=8)  # of the model ocr_1
    process(tmp_path, 105, TRITON, "bash", "-c", "source x && exec stub text_0 DEFAULT", pss=16)
    process(tmp_path, 106, TRITON, "stub", "private_0_0", pages=2)
    process(tmp_path, 107, 1, "stub", "ocr_0_0", pss=999)  # another server's
    process(tmp_path, 108, TRITON, "stub", "unknown_0_0", pss=999)
    (tmp_path / "self").mkdir()
    process(tmp_path, 109, 1)
    (tmp_path / "109/stat").write_bytes(b"109 (\xff\xfe) S 1 1 1 0")  # a name may be any bytes
    found = workers_of_models(TRITON, ["ocr", "ocr_1", "text", "private"], tmp_path)
    pids = {name: [one.pid for one in workers] for name, workers in found.items()}
    assert pids == {"ocr": [102, 101], "ocr_1": [104], "text": [105], "private": [106]}
    page = os.sysconf("SC_PAGE_SIZE")
    assert memory_of(found, GPUS, tmp_path) == {
        "ocr": [{"host": 6 * 1024, "0": 10, "1": 3}, {"host": 1024}],
        "ocr_1": [{"host": 8 * 1024}],
        "text": [{"host": 16 * 1024}],
        "private": [{"host": 2 * page}],
    }


def test_a_real_process_is_measured():
    code = "import sys; ballast = bytearray(b'x') * (64 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "ballast_0_0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        found = workers_of_models(os.getpid(), ["ballast"])
        (sizes,) = memory_of(found)["ballast"]
        child.stdin.close()
    (worker,) = found["ballast"]
    assert worker.pid == child.pid
    assert 64 << 20 < sizes["host"] < 128 << 20
