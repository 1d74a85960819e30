"""Plans are pure: the same spec and host give the same plan, and it prints itself."""

import os

import pytest

from nosbuild.plan import HostFacts, Placement, host_facts, plan_build

TORCH = (
    "source: {torch: 'model.py:Net'}\n"
    "inputs: {x: 'float32[batch]'}\noutputs: {y: 'float32[batch]'}\n"
)


@pytest.fixture
def plan(make_model):
    def of(more="", cpus=4):
        host = HostFacts(cpus, "a processor", 2**30, "3.11.0", {})
        return plan_build(make_model(TORCH + more, model="Net = None"), host)

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


def test_what_is_left_out_has_a_reason(plan):
    found = plan("precision: [fp32, int8]")
    assert [variant.name for variant in found.variants] == ["onnx-fp32"]
    assert [skip.what for skip in found.skips] == ["int8"]
    assert all(skip.reason for skip in found.skips)
    assert [skip.what for skip in plan("precision: auto").skips] == ["fp16", "bf16", "int8"]
    assert plan().skips == ()


def test_fp32_is_built_even_where_it_is_not_asked_for(plan):
    found = plan("precision: [int8]")
    assert [variant.precision for variant in found.variants] == ["fp32"]


def test_a_plan_prints_itself(plan):
    lines = plan("precision: [fp32, int8]", cpus=2).describe().splitlines()
    assert lines[0] == "m: from torch"
    assert lines[1].split() == ["try", "onnx-fp32", "(fp32,", "backend", "onnxruntime)"]
    assert lines[2].split()[:2] == ["skip", "int8:"]
    assert lines[3].endswith("1 x 2, 2 x 1")


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
