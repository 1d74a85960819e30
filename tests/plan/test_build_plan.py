"""Plans are pure: the same spec and host give the same plan, and it prints itself."""

import os

import pytest

from nosbuild.errors import RequestError
from nosbuild.plan import HostFacts, Placement, host_facts, plan_build, target_of
from nosbuild.plan.gpus import Gpu
from nosbuild.plan.triton_releases import ONNX_RUNTIME

TORCH = (
    "source: {torch: 'model.py:Net'}\n"
    "inputs: {x: 'float32[batch]'}\noutputs: {y: 'float32[batch]'}\n"
)


@pytest.fixture
def plan(make_model):
    def of(more="", cpus=4, target=None, **facts):
        host = HostFacts(cpus, "a processor", 2**30, "3.11.0", **{"libraries": {}, **facts})
        spec = make_model(TORCH + more, model="Net = None")
        return plan_build(spec, host, target_of(target, spec, host))

    return of


@pytest.mark.parametrize(
    ("cpus", "instances", "shares"),
    [
        (1, "", [(1, 1)]),
        (2, "", [(1, 2), (2, 1)]),
        (6, "", [(1, 6), (2, 3), (4, 1), (6, 1)]),
        (8, "", [(1, 8), (2, 4), (4, 2), (8, 1)]),
        (4, "instances: 2", [(2, 2)]),
        (4, "instances: 8", [(8, 1)]),
        (4, "instances: {count: 2, threads: 1}", [(2, 1)]),
        (4, "instances: {threads: 2}", [(2, 2)]),
        (2, "instances: {threads: 8}", [(1, 8)]),
    ],
)
def test_placements_share_out_the_processors(plan, cpus, instances, shares):
    assert plan(instances, cpus).placements == tuple(Placement(*share) for share in shares)


def names(found):
    return [variant.name for variant in found.variants]


def test_a_cpu_gets_what_runs_on_it(plan):
    assert names(plan()) == ["onnx-fp32", "onnx-fp32-optimised"]
    assert names(plan("precision: [fp32, int8]"))[2:] == ["onnx-int8-static", "onnx-int8-dynamic"]
    everything = plan("precision: auto")
    assert names(everything)[2:] == ["onnx-fp16", "onnx-int8-static", "onnx-int8-dynamic"]
    assert [skip.what for skip in everything.skips] == ["bf16"]
    assert "no variant of it runs on a cpu" in everything.skips[0].reason


def test_fp32_is_built_even_where_it_is_not_asked_for(plan):
    assert names(plan("precision: [int8]"))[0] == "onnx-fp32"


def test_a_gpu_target_says_what_this_host_lacks(plan):
    found = plan("precision: auto", target="gpu")
    assert names(found) == ["onnx-fp32", "onnx-fp32-optimised"]
    reasons = {skip.what: skip.reason for skip in found.skips}
    assert "TensorRT is not installed" in reasons["tensorrt-fp16"]
    assert "pip install onnxruntime-gpu" in reasons["onnx-fp16-cuda"]
    libraries = {"tensorrt-rtx-cu13": "1.7", "onnxruntime-gpu": "1.32"}
    found = plan("precision: auto", target="gpu", libraries=libraries)
    assert {"tensorrt-fp32", "tensorrt-fp16", "tensorrt-bf16", "tensorrt-int8"} <= set(names(found))
    assert {skip.reason for skip in found.skips} == {"no GPU here"}


def test_a_host_with_a_gpu_is_a_gpu_target(plan):
    gpu = Gpu(0, "a GPU", "9.0", 2**36, "580.65.06", "13.0")
    found = plan(libraries={"onnxruntime-gpu": "1.32"}, gpus=(gpu,))
    assert found.target.kind == "gpu"
    assert "onnx-fp32-cuda" in names(found)
    assert plan(target="cpu", gpus=(gpu,)).target.kind == "cpu"


def test_a_release_tells_its_onnx_runtime(plan):
    found = plan(target="cpu,triton:24.10").target
    assert (found.kind, found.release, found.onnx_runtime) == ("cpu", "24.10", "1.19.2")
    assert plan(target="triton:99.01").target.onnx_runtime == ONNX_RUNTIME[max(ONNX_RUNTIME)]
    assert plan().target.onnx_runtime == ""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tpu", "'tpu' is no target"),
        ("", "'' is no target"),
        ("triton:26.9", "is no target"),
        ("triton:24.04", "reads no ONNX file of IR version 10"),
    ],
)
def test_a_target_that_is_none(plan, target, said):
    with pytest.raises(RequestError, match=said):
        plan(target=target)


def test_a_plan_prints_itself(plan):
    lines = plan("precision: [fp32, bf16]", cpus=2).describe().splitlines()
    assert lines[0] == "m: from torch, to run on cpu"
    assert lines[1].split() == ["try", "onnx-fp32", "(export;", "backend", "onnxruntime)"]
    assert "(export -> slim -> fuse; backend onnxruntime)" in lines[2]
    assert lines[3].split()[:2] == ["skip", "bf16:"]
    assert lines[4] == "  instances x threads to measure: 1 x 2, 2 x 1"


def test_the_host_counts_the_processors_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert host_facts().cpus == 1
    finally:
        os.sched_setaffinity(0, before)
    found = host_facts()
    assert found.cpus == len(before)
    assert found.memory_bytes > 0
    assert "torch" in found.libraries
