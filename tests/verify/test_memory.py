"""What an instance holds, measured in processes of their own: each has done nothing before."""

import json
import subprocess
import sys

import pytest

MEGA = 2**20
CODE = """
import json, sys
import numpy as np
from nosbuild.verify.memory import measure_memory, memory_of_process
kept, used, before = (int(text) * 2**20 for text in sys.argv[1:])

class Runner:
    def __init__(self):
        self.weights = np.ones(kept, np.uint8)
    def run(self, inputs):
        np.ones(used, np.uint8).sum()
        return inputs

np.ones(before, np.uint8).sum()  # and given back
found = measure_memory(Runner, {}, 4, ["numpy"])
print(json.dumps(found.model_dump()))
"""


def measured(kept, used, before=0):
    command = [sys.executable, "-c", CODE, *map(str, (kept, used, before))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("before", [0, 400])
def test_what_is_kept_and_what_is_used_for_a_while(before):
    nothing = measured(0, 0, before)
    found = measured(100, 150, before)
    assert found["batch"] == 4
    assert found["idle"] - nothing["idle"] == pytest.approx(100 * MEGA, abs=10 * MEGA)
    assert found["peak"] - nothing["peak"] == pytest.approx(250 * MEGA, abs=10 * MEGA)


def test_a_process_with_its_libraries_is_part_of_it():
    nothing = measured(0, 0)
    assert 10 * MEGA < nothing["idle"] < 200 * MEGA


def test_another_process():
    from nosbuild.verify.memory import memory_of_process

    code = "x = b'1' * (100 << 20); del x; y = b'1' * (50 << 20); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        found = memory_of_process(process.pid, 8)
        process.stdin.close()
    assert found.batch == 8
    assert found.idle > 50 * MEGA
    assert found.peak - found.idle == pytest.approx(50 * MEGA, abs=10 * MEGA)
