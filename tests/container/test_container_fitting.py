"""What the Triton of an image cannot load is told before anything starts, with how to build it."""

import json

import pytest
from add_one_model import write_add_one
from speaking_model import write_speaks

from nosbuild.runtime.docker.fitting import unfit_models
from nosbuild.runtime.docker.images import Image

OURS = Image("nosbuild/server:cpu-1", "sha256:1", {"nosbuild.python": "3.11"})


def nvidias(release, tensorrt="10.13.3.9+cuda13.0"):
    variables = {"NVIDIA_TRITON_SERVER_VERSION": release, "TRT_VERSION": tensorrt}
    return Image(f"nvcr.io/nvidia/tritonserver:{release}-py3", "sha256:2", {}, variables)


def reason(repository, name, image, gpu=False):
    return unfit_models(repository, [name], image, gpu).get(name, "")


@pytest.mark.parametrize(
    "release, opset, ir_version, told",
    [
        ("24.05", 21, 10, ""),
        (
            "24.05",
            22,
            10,
            "opset 22, and the image's ONNX Runtime 1.18.0 reads no newer",
        ),
        ("24.05", 21, 11, "IR version 11, and the image's ONNX Runtime 1.18.0"),
        ("25.09", 23, 11, ""),
        ("26.08", 26, 13, ""),
    ],
)
def test_onnx_files(repository, release, opset, ir_version, told):
    folder = write_add_one(repository / "m", opset=opset, ir_version=ir_version)
    found = reason(repository, "m", nvidias(release))
    assert told in found
    assert bool(found) == bool(told)
    if told:
        assert f"nosbuild build {folder} --target cpu,triton:{release}" in found


def test_an_image_tells_its_onnx_runtime(repository):
    write_add_one(repository / "m", opset=21)
    old = Image("mine", "sha256:3", {"nosbuild.onnxruntime.version": "1.17.3"})
    assert "ONNX Runtime 1.17.3" in reason(repository, "m", old)
    assert not reason(repository, "m", OURS)


def test_a_model_for_a_gpu_needs_one(repository):
    config = repository / "adds/config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU"))
    assert "--gpus all" in reason(repository, "adds", OURS)
    assert not reason(repository, "adds", nvidias("26.08"), gpu=True)


FACTS = {
    "flavour": "tensorrt",
    "version": "10.13.3.9",
    "requirement": "tensorrt-cu13==10.13.3.9",
    "compute_capability": "9.0",
    "gpu": "H100",
    "driver": "",
    "cuda": "13.0",
    "flags": [],
    "hardware_compatibility": "none",
    "workspace_bytes": 0,
    "onnx_sha256": "",
    "profiles": [],
}


@pytest.mark.parametrize(
    "facts, image, told",
    [
        ({}, nvidias("25.10"), ""),
        (
            {},
            nvidias("26.08", "10.16.0.72"),
            "by TensorRT 10.13.3.9, and the image has 10.16",
        ),
        ({"flags": ["VERSION_COMPATIBLE"]}, nvidias("26.08", "10.16.0.72"), ""),
        ({"flavour": "tensorrt_rtx", "version": "1.7.1"}, nvidias("25.10"), "one of tensorrt_rtx"),
        ({}, nvidias("25.10", ""), ""),
    ],
    ids=str,
)
def test_engines(repository, facts, image, told):
    folder = repository / "fast"
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.plan").write_bytes(b"plan")
    (folder / "1/model.engine.json").write_text(json.dumps({**FACTS, **facts}))
    (folder / "config.pbtxt").write_text('backend: "tensorrt"')
    found = reason(repository, "fast", image, gpu=True)
    assert told in found
    assert bool(found) == bool(told)
    assert "it is built for a GPU" in reason(repository, "fast", image)


@pytest.mark.parametrize(
    "image, told",
    [
        (OURS, 'for Python 3.12, the image has 3.11: write python: "3.11"'),
        (nvidias("24.10"), "container has Python 3.10"),
        (nvidias("26.08"), ""),
        (Image("mine", "sha256:4"), ""),
    ],
    ids=["ours", "24.10", "26.08", "unknown"],
)
def test_environments(repository, image, told):
    write_speaks(repository / "speaks")
    found = reason(repository, "speaks", image)
    assert told in found
    assert bool(found) == bool(told)
