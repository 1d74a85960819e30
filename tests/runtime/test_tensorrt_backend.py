"""The TensorRT backend of the embedded server: what it refuses before it serves anything."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nosbuild.errors import RepositoryError
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.agreement import (
    EngineTensor,
    disagreements,
)
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.shapes import ShapeRange
from nosbuild.optimize.tensorrt import builders, tensorrt_from_onnx
from nosbuild.optimize.tensorrt.profiles import OptimisationProfile
from nosbuild.plan.gpus import NoGpu, gpus
from nosbuild.runtime import serve, server_environment
from nosbuild.runtime.gpu_needs import GpuNeeds, gpu_needs, needs_of

FLOAT, LONG = np.dtype(np.float32), np.dtype(np.int64)


class Engine:
    inputs = (EngineTensor("ids", LONG, (-1, -1)), EngineTensor("size", FLOAT, (-1,)))
    outputs = (EngineTensor("y", FLOAT, (-1, 8)),)
    profiles = (
        {"ids": ShapeRange((1, 4), (4, 32), (8, 64)), "size": ShapeRange((1,), (4,), (8,))},
    )


IDS, SIZE, Y = ("TYPE_INT64", [-1]), ("TYPE_FP32", []), ("TYPE_FP32", [8])


def test_what_fits_is_taken():
    assert disagreements(Engine, {"ids": IDS, "size": SIZE}, {"y": Y}, 8) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "largest", "told"),
    [
        ({"ids": IDS}, {"y": Y}, 8, "input 'size' of the engine is not declared"),
        ({"ids": IDS, "size": SIZE}, {"z": Y}, 8, "output 'z' is not in the engine, which has 'y'"),
        (
            {"ids": ("TYPE_INT32", [-1]), "size": SIZE},
            {"y": Y},
            8,
            "input 'ids' is declared TYPE_INT32 but is int64",
        ),
        (
            {"ids": IDS, "size": SIZE},
            {"y": ("TYPE_BF16", [9])},
            8,
            "output 'y' is declared TYPE_BF16 but is float32",
        ),
        (
            {"ids": IDS, "size": SIZE},
            {"y": ("TYPE_FP32", [9])},
            8,
            "output 'y' is declared with shape [-1, 9] but has [-1, 8]",
        ),
        (
            {"ids": IDS, "size": SIZE},
            {"y": Y},
            16,
            "Triton sends batches of 1 to 16, and input 'ids' takes 1 to 8",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_request(inputs, outputs, largest, told):
    assert told in disagreements(Engine, inputs, outputs, largest)


def test_an_engine_for_large_batches_alone_cannot_be_served():
    class Large(Engine):
        profiles = (
            {"ids": ShapeRange((4, 4), (4, 32), (8, 64)), "size": ShapeRange((4,), (4,), (8,))},
        )

    (told,) = disagreements(Large, {"ids": IDS, "size": SIZE}, {"y": Y}, 8)
    assert told == "Triton sends batches of 1 to 8, and input 'ids' takes 4 to 8"


def test_the_backends_find_what_they_share():
    backends = server_environment(print).backends
    for backend in ("onnxruntime", "tensorrt"):
        assert (backends / backend / "model.py").is_file()
        assert (backends / backend / "joined_requests.py").is_file()
        assert (backends / backend / "execution_deadline.py").is_file()
    assert (backends / "tensorrt/tensorrt_engine/session.py").is_file()


def config(folder, backend="tensorrt", more=""):
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        f"""backend: "{backend}"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: 16 }}
output {{ name: "y" data_type: TYPE_FP32 dims: 16 }}
{more}"""
    )
    (folder / "1").mkdir()
    return folder


def engine(folder):
    """A real one where TensorRT-RTX is installed; a file that nobody can load where it is not."""
    if not builders().available:
        (folder / "model.plan").write_bytes(b"no engine")
        return
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", TensorProto.FLOAT, ["batch", 16])],
        [value("y", TensorProto.FLOAT, ["batch", 16])],
    )
    opset = helper.make_opsetid("", 20)
    source = folder / "source.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), source)
    profile = OptimisationProfile({"x": ShapeRange((1, 16), (4, 16), (8, 16))})
    tensorrt_from_onnx(source, folder, profiles=[profile])


@pytest.mark.live
@pytest.mark.skipif(not isinstance(gpus(), NoGpu), reason="there is a GPU here: nothing refuses")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "a TensorRT engine needs an NVIDIA GPU, and no NVIDIA driver was found"),
        ("instance_group { kind: KIND_GPU }", "has kind KIND_GPU but no GPUs are available"),
    ],
)
def test_without_a_gpu_serving_an_engine_is_refused_clearly(tmp_path, more, words):
    engine(config(tmp_path / "repository/engine", more=more) / "1")
    with pytest.raises(RepositoryError, match=words), serve(tmp_path / "repository"):
        pass


CPU = "instance_group { kind: KIND_CPU }"


def noted(folder, requirement):
    (folder / "1/model.engine.json").write_text(json.dumps({"requirement": requirement}))


def test_a_server_on_a_gpu_gets_what_its_models_need(tmp_path):
    config(tmp_path / "cpu", "onnxruntime", CPU)
    assert needs_of(tmp_path, ["cpu"]) == GpuNeeds()
    config(tmp_path / "any", "onnxruntime")
    assert needs_of(tmp_path, ["cpu", "any"]) == GpuNeeds(cuda=True)
    noted(config(tmp_path / "engine"), "tensorrt-cu13==10.13.3.9")
    needs = needs_of(tmp_path, ["cpu", "any", "engine"])
    assert needs == GpuNeeds(True, "tensorrt-cu13==10.13.3.9")
    base = ("numpy==1.26.4", "onnxruntime==1.32.0")
    assert GpuNeeds().packages((3, 11), base) == base
    installed = needs.packages((3, 11), base)
    assert installed[0] == "numpy==1.26.4"
    assert installed[-1] == "tensorrt-cu13==10.13.3.9"
    assert [name.partition("[")[0] for name in installed[1:2]] == ["onnxruntime-gpu"]


def test_engines_of_two_tensorrts_are_not_served_together(tmp_path):
    noted(config(tmp_path / "a"), "tensorrt-cu13==10.13.3.9")
    noted(config(tmp_path / "b"), "tensorrt-rtx-cu13==1.7.1.116")
    with pytest.raises(RepositoryError, match=r"a was built by .*10\.13.*; b was built by .*rtx"):
        needs_of(tmp_path, ["a", "b"])
    assert needs_of(tmp_path, ["b"]).tensorrt == "tensorrt-rtx-cu13==1.7.1.116"


@pytest.mark.skipif(not isinstance(gpus(), NoGpu), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_installed_for_one(tmp_path):
    noted(config(tmp_path / "engine"), "tensorrt-cu13==10.13.3.9")
    assert gpu_needs(tmp_path, ["engine"]) == GpuNeeds()
