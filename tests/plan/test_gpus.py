"""GPUs are asked of the driver, in words where there is none.

Where there is no driver, a small library in C answers in its place: what is tested is that every
call has the types of cuda.h, and what becomes of the answers.
"""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.cuda_memory import CudaMemory
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.gpus import CudaCallFailed
from nosbuild.plan import host_facts
from nosbuild.plan.gpus import Gpu, NoGpu, gpus


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a stand-in of the driver")
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    source = Path(__file__).with_name("cuda_stand_in.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


def test_this_machine_is_asked_quickly_and_answers_in_words():
    """Quickly: of what is heavy nothing is imported, and no other program is run."""
    code = (
        "import sys; starts = {'subprocess.Popen', 'os.posix_spawn', 'os.fork', 'os.system'};"
        "sys.addaudithook(lambda event, _: event in starts and exit(event));"
        "from nosbuild.plan.gpus import gpus; gpus();"
        "print({'torch', 'onnxruntime', 'tensorrt_rtx', 'onnx'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
    found = gpus()
    if isinstance(found, NoGpu):
        assert "NVIDIA" in found.reason
    facts = host_facts()
    assert bool(facts.gpus) != bool(facts.no_gpu)


def test_no_driver_is_a_reason():
    assert gpus("libno-such-driver.so.1") == NoGpu(
        "no NVIDIA driver was found (libno-such-driver.so.1)"
    )


def test_every_gpu_is_described(driver):
    found = gpus(driver)
    assert not isinstance(found, NoGpu)
    assert [gpu.index for gpu in found] == [0, 1]
    assert found[1] == Gpu(1, "Stand-in 1", "9.1", 150754820097, found[1].driver, "13.1")


def test_a_driver_without_a_gpu_is_a_reason(driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code = f"import ctypes; from nosbuild.plan.gpus import gpus; print(gpus({driver!r}).reason)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sees no GPU" in seen.stdout


@pytest.mark.parametrize(("code", "words"), [("100", "sees no GPU"), ("803", "display driver")])
def test_a_driver_that_does_not_start_is_a_reason(driver, monkeypatch, code, words):
    monkeypatch.setenv("CUDA_STAND_IN_FAILS", code)
    program = f"from nosbuild.plan.gpus import gpus; print(gpus({driver!r}).reason)"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert words in seen.stdout, seen.stderr


def test_arrays_go_to_the_gpu_and_come_back(driver):
    memory = CudaMemory(1, driver)
    left = ctypes.CDLL(driver).stand_in_left
    for rows in (2, 5, 3):  # the buffer grows, and is used again
        sent = np.arange(rows * 4, dtype=np.float32).reshape(4, rows).T  # not contiguous
        address = memory.upload("x", sent)
        received = np.empty(sent.shape, sent.dtype)
        memory.download("x", received)
        memory.wait()
        np.testing.assert_array_equal(received, sent)
    assert memory.buffer("x", 8) == address
    assert left() > 0
    memory.close()
    memory.close()
    assert left() == 0


def test_a_gpu_that_is_not_there_and_memory_that_is_not_there_are_named(driver):
    with pytest.raises(CudaCallFailed, match=r"cuDeviceGet.*CUDA error 101"):
        CudaMemory(7, driver)
    memory = CudaMemory(0, driver)
    with pytest.raises(CudaCallFailed, match="cuMemAlloc_v2"):
        memory.buffer("huge", 1 << 50)
    memory.close()
