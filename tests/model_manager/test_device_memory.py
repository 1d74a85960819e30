"""NVML's answers, of a stand-in that is compiled here, and of none."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nosbuild.inside_triton.model_manager.nos_model_manager.device_memory import DeviceMemory

SOURCE = Path(__file__).with_name("nvml_stand_in") / "libnvidia-ml.c"
USED = 3 << 30


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler for the stand-in of NVML")
    target = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", target, SOURCE], check=True)
    return str(target)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, {"1": USED}),
        ("0,1", {"1": USED}),
        ("1,0", {"0": USED}),
        ("GPU-b0, GPU-a0", {"0": USED}),
        ("0", None),
        ("", None),
    ],
)
def test_processes_are_told_by_the_numbers_that_cuda_gives(library, visible, found, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    told = DeviceMemory(library, visible).of_processes()
    assert told == ({os.getpid(): found} if found else {})


def test_without_a_driver_nothing_is_told():
    assert DeviceMemory("libno-such-nvml.so.1").of_processes() == {}
