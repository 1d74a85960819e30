"""The check of the whole way on a GPU; here it runs, or says why it does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nosbuild.plan.gpus import NoGpu, gpus

CHECK = Path(__file__).with_name("check.py")


@pytest.mark.skipif(not isinstance(gpus(), NoGpu), reason="there is a GPU here: make gpu-check")
def test_without_a_gpu_it_says_so_and_ends_well():
    seen = subprocess.run([sys.executable, CHECK], capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    said, result = seen.stdout.splitlines()
    assert said.startswith("skipped: no NVIDIA driver")
    assert json.loads(result)["skipped"] in said
