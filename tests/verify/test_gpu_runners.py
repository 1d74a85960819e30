"""What was asked to run on a GPU runs there, or is refused; never on the CPU without a word."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from nosbuild.errors import HostError, Refused
from nosbuild.inside_triton.backends.onnxruntime.ort_providers import (
    CPU,
    CUDA,
    TENSORRT,
    fallback,
    precision_parameters,
    providers_for,
)
from nosbuild.plan.gpus import NoGpu, gpus
from nosbuild.verify.runners import OnnxRuntimeRunner
from nosbuild.verify.tensorrt_runner import TensorRTRunner

needs_no_gpu = pytest.mark.skipif(
    not isinstance(gpus(), NoGpu), reason="there is a GPU here: nothing refuses"
)


@pytest.fixture
def negation(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "negation",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    opset = helper.make_opsetid("", 20)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    return path


def test_on_the_cpu_nothing_is_missing(negation):
    answer = OnnxRuntimeRunner(negation).run({"x": np.ones((3, 2), np.float32)})
    np.testing.assert_array_equal(answer["y"], -np.ones((3, 2), np.float32))


@pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="ONNX Runtime has CUDA here"
)
@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize(("name", "provider"), [("cuda", CUDA), ("tensorrt", TENSORRT)])
def test_a_session_that_fell_back_to_the_cpu_is_refused(negation, name, provider):
    with pytest.raises(Refused, match=f"asked for {provider}.* runs on {CPU}") as caught:
        OnnxRuntimeRunner(negation, providers=name)
    assert "onnxruntime-gpu" in caught.value.remedy


def test_half_a_fallback_is_one():
    asked = providers_for([("tensorrt", {})], 0)
    assert "asked for TensorrtExecutionProvider" in fallback(asked, [CUDA, CPU])
    assert fallback(asked, [TENSORRT, CUDA, CPU]) == ""


def test_accelerators_become_providers():
    accelerators = [
        (
            "tensorrt",
            {
                "precision_mode": "FP16",
                "max_workspace_size_bytes": "1073741824",
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": "/cache",
                "trt_builder_optimization_level": "1",
            },
        ),
        ("cuda", {"use_tf32": "0"}),
    ]
    assert providers_for(accelerators, 1, {"cudnn_conv_algo_search": "1", "mine": "a"}) == [
        (
            TENSORRT,
            {
                "device_id": "1",
                "trt_fp16_enable": "True",
                "trt_max_workspace_size": "1073741824",
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": "/cache",
                "trt_builder_optimization_level": "1",
            },
        ),
        (CUDA, {"device_id": "1", "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}),
        CPU,
    ]
    assert providers_for([], 0) == [(CUDA, {"device_id": "0"}), CPU]


def test_what_no_accelerator_has_is_named():
    with pytest.raises(ValueError, match="'openvino' is not one of cuda, tensorrt"):
        providers_for([("openvino", {})], 0)
    with pytest.raises(ValueError, match="no parameter 'workspace'"):
        providers_for([("tensorrt", {"workspace": "1"})], 0)
    with pytest.raises(ValueError, match="precision_mode is 'FP8'"):
        providers_for([("tensorrt", {"precision_mode": "FP8"})], 0)


def test_the_precision_of_the_graph_is_asked_of_tensorrt():
    assert precision_parameters("fp16") == {"precision_mode": "FP16"}
    assert precision_parameters("fp32") == {}


@needs_no_gpu
def test_an_engine_without_a_gpu_is_a_host_error(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"no engine")
    with pytest.raises(HostError, match="needs an NVIDIA GPU, and") as caught:
        TensorRTRunner(tmp_path / "model.plan")
    assert caught.value.remedy


def test_an_engine_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HostError, match=r"model\.plan is missing"):
        TensorRTRunner(tmp_path / "model.plan")


def test_facts_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"no engine")
    (tmp_path / "model.engine.json").write_text('{"flavour": "tensorrt"}')
    with pytest.raises(HostError, match=r"model\.engine\.json does not tell .* lacks compute_cap"):
        TensorRTRunner(tmp_path / "model.plan")


OPEN = """
import json, sys
from pathlib import Path
import triton_python_backend_utils as pb_utils
from ort_session import open_session

def load(kind, **config):
    instance = {"model_instance_kind": kind, "model_instance_device_id": "0"}
    try:
        session = open_session(
            Path(sys.argv[1]), config, {**instance, "model_instance_name": "negation_0"}
        )
        print(*session.get_providers())
    except pb_utils.TritonModelException as error:
        print(error)

load("CPU")
load("GPU")
accelerator = {"name": "tensorrt", "parameters": {"precision_mode": "FP8"}}
load("GPU", optimization={"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}})
"""


@pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="ONNX Runtime has CUDA here"
)
def test_tritons_backend_does_not_load_on_the_cpu_what_was_meant_for_a_gpu(negation):
    here = Path(__file__).parent
    places = [
        here / "stand_ins",
        here.parents[1] / "builder/nosbuild/inside_triton/backends/onnxruntime",
    ]
    seen = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPEN, negation],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
        capture_output=True,
        text=True,
    )
    assert seen.returncode == 0, seen.stderr
    on_cpu, on_gpu, unknown = seen.stdout.splitlines()
    assert on_cpu == CPU
    assert on_gpu.startswith(f"negation_0: asked for {CUDA}, ONNX Runtime runs on {CPU}")
    assert "KIND_CPU" in on_gpu
    assert unknown == "precision_mode is 'FP8'; use FP32, FP16 or INT8"
