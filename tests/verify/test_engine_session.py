"""How an engine is run: everything of ours around TensorRT's calls.

Without a GPU no engine can be run. Here stand-ins take the place of the driver and of TensorRT's
runtime, in a process of their own; ``make gpu-check`` does the same with the real ones.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest

from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.facts import EngineFacts

HERE = Path(__file__).parent
INSIDE = HERE.parents[1] / "builder/nosbuild/inside_triton"
FACTS = EngineFacts(
    flavour="tensorrt",
    version="10.13.3.9",
    requirement="tensorrt-cu13==10.13.3.9",
    compute_capability="9.0",
    gpu="Stand-in 0",
    driver="",
    cuda="13.1",
    flags=(),
    hardware_compatibility="none",
    workspace_bytes=0,
    onnx_sha256="0",
    profiles=(),
)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs code with the stand-ins in place; what it printed."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a stand-in of the driver")
    folder = tmp_path_factory.mktemp("driver")
    source = HERE.parent / "plan/cuda_stand_in.c"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True
    )
    places = [HERE / "stand_ins", INSIDE / "backends/tensorrt", INSIDE / "shared"]
    places.append(INSIDE / "python_model/nos_python_model")
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, places)),
    }

    def run(code, *arguments):
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
        seen = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert seen.returncode == 0, seen.stderr
        return seen.stdout.splitlines()

    return run


@pytest.fixture
def plan(tmp_path):
    def write(content=b"doubles", **changes):
        facts = json.dumps(asdict(FACTS) | changes)
        (tmp_path / "model.engine.json").write_text(facts)
        (tmp_path / "model.plan").write_bytes(content)
        return tmp_path / "model.plan"

    return write


RUN = """
    import ctypes, sys
    import numpy as np
    from pathlib import Path
    from nosbuild.errors import HostError
    from nosbuild.verify.tensorrt_runner import TensorRTRunner

    try:
        runner = TensorRTRunner(Path(sys.argv[1]))
    except HostError as error:
        print(error.message)
        sys.exit()
    def run(*shape, value=1, dtype=np.float32):
        try:
            answer = runner.run({"x": np.full(shape, value, dtype)})
            print(list(answer), answer["y"].shape, answer["y"].min(), answer["y"].max())
        except Exception as error:
            print(type(error).__name__, error)
    run(2, 3)
    run(16, 3, value=4)
    run(1, 3, value=5)
    run(9, 3)
    run(2, 3, dtype=np.float64)
    run(2, 3, value=666)
    run(8, 3, value=-1)
    runner.close()
    print(ctypes.CDLL("libcuda.so.1").stand_in_left())
"""


def test_arrays_go_through_every_profile_and_failures_through_the_log(python, plan):
    assert python(RUN, plan()) == [
        "['y'] (2, 3) 2.0 2.0",
        "['y'] (16, 3) 8.0 8.0",
        "['y'] (1, 3) 10.0 10.0",
        "ShapeRefused input 'x' has shape [9, 3]; the engine takes [1..8, 3] or [16, 3]",
        "ShapeRefused input 'x' is float64; the engine takes float32",
        "RunFailed tensorrt 10.13.3.9: an illegal value",
        "['y'] (8, 3) -2.0 -2.0",
        "0",
    ]


def test_what_cannot_be_loaded_says_why(python, plan):
    (told,) = python(RUN, plan(b"other"))
    assert "cannot load model.plan: magic number does not match" in told
    (told,) = python(RUN, plan(version="10.14.1.48"))
    assert "built by tensorrt 10.14.1.48" in told
    (told,) = python(RUN, plan(compute_capability="8.9", gpu="NVIDIA L4"))
    assert "built on NVIDIA L4 for compute capability 8.9, and Stand-in 0 has 9.0" in told
    assert python(RUN, plan(flavour="tensorrt_rtx"))[0].startswith("model.plan cannot run here")


SERVE = """
    import json, sys
    from pathlib import Path
    import numpy as np
    import triton_python_backend_utils as pb_utils
    import joined_requests

    joined_requests.np.__version__ = "1.26.4"  # the tests' numpy is newer; none is corrupted here
    from model import TritonPythonModel

    plan = Path(sys.argv[1])
    (plan.parent / "1").mkdir()
    for file in plan.parent.glob("model.*"):
        file.rename(plan.parent / "1" / file.name)
    def load(kind="GPU", device="0", **changes):
        config = {
            "max_batch_size": 8,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["3"]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["3"]}],
        }
        args = {
            "model_config": json.dumps(config | changes),
            "model_repository": str(plan.parent),
            "model_version": "1",
            "model_instance_kind": kind,
            "model_instance_device_id": device,
        }
        model = TritonPythonModel()
        try:
            model.initialize(args)
        except pb_utils.TritonModelException as error:
            print(error)
        return model

    load(kind="CPU")
    load(device="1")
    load(max_batch_size=16)
    model = load()
    values = [np.full((1 + i % 2, 3), i, np.float32) for i in range(4)]
    values.append(np.ones((1, 2), np.float32))
    values.append(np.full((1, 3), 666, np.float32))
    requests = [pb_utils.InferenceRequest(x=x) for x in values]
    for response in model.execute(requests):
        error, tensors = response.error, response.output_tensors
        print(error if error else tensors[0].as_numpy().tolist())
    model.finalize()
"""


def test_the_backend_answers_each_request_and_refuses_what_cannot_be_served(python, plan):
    assert python(SERVE, plan()) == [
        "a TensorRT engine runs on a GPU: write instance_group { kind: KIND_GPU }",
        "the engine was built on Stand-in 0 for compute capability 9.0, and Stand-in 1 has 9.1",
        "config.pbtxt and the engine do not agree: Triton sends batches of 1 to 16, and input 'x' "
        "takes 1 to 8 or 16 to 16",
        "[[0.0, 0.0, 0.0]]",
        "[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]",
        "[[4.0, 4.0, 4.0]]",
        "[[6.0, 6.0, 6.0], [6.0, 6.0, 6.0]]",
        "input 'x' has shape [1, 2]; the engine takes [1..8, 3] or [16, 3]",
        "tensorrt 10.13.3.9: an illegal value",
    ]


def test_the_stand_in_has_nothing_that_tensorrt_lacks():
    real = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed")
    tree = ast.parse((HERE / "stand_ins/tensorrt.py").read_text())
    checked = 0
    for entry in tree.body:
        if isinstance(entry, (ast.ClassDef, ast.FunctionDef)):
            assert hasattr(real, entry.name)
        for member in entry.body if isinstance(entry, ast.ClassDef) else ():
            names = [getattr(member, "name", "")]
            if isinstance(member, ast.Assign):
                names = [target.id for target in member.targets]
            for name in names:
                assert hasattr(getattr(real, entry.name), name), f"{entry.name}.{name}"
                checked += 1
    assert checked > 20
