"""What a model manager is told before it starts."""

import os
import time
from pathlib import Path

import pytest

from nosbuild.errors import InputError
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes, host
from nosbuild.repository.lock import Lock, write_lock
from nosbuild.runtime import memory_budget as budgets
from nosbuild.runtime.managed_models import managed_models
from nosbuild.runtime.memory_budget import gpu_budgets, memory_budget
from nosbuild.runtime.on_demand import OnDemand
from nosbuild.runtime.too_large import too_large

MIB = 1 << 20
REACHED = ("127.0.0.1", 1, {}, Path("triton.log"))


def model(repository, name, config, size=0):
    (repository / name / "1/golden").mkdir(parents=True)
    (repository / name / "1/model.onnx").write_bytes(bytes(size))
    (repository / name / "1/golden/samples.npz").write_bytes(bytes(MIB))
    (repository / name / "config.pbtxt").write_text(config)


def test_models_are_told_with_calls_and_estimates(tmp_path):
    step = 'step { model_name: "detect" model_version: -1 } step { model_name: "read" }'
    model(tmp_path, "detect", 'backend: "onnxruntime" instance_group { count: 3 }', MIB)
    model(tmp_path, "read", 'backend: "python"', MIB)
    model(tmp_path, "ocr", f'platform: "ensemble" ensemble_scheduling {{ {step} }}')
    sequence = "sequence_batching { max_sequence_idle_microseconds: 5000000 }"
    model(tmp_path, "voice", f'backend: "python" {sequence}')
    model(tmp_path, "torn", 'backend: "python')
    told = managed_models(tmp_path, ["detect", "read", "ocr", "voice", "torn"])
    assert told["detect"]["bytes"] == 3 * (64 + 2) * MIB
    assert told["read"]["bytes"] == (32 + 1) * MIB
    ocr = {key: told["ocr"][key] for key in ("calls", "bytes", "gpu_bytes", "idle_seconds")}
    assert ocr == {"calls": ["detect", "read"], "bytes": 0, "gpu_bytes": {}, "idle_seconds": 0.0}
    assert told["ocr"]["config"]["ensemble_scheduling"]["step"][0]["model_name"] == "detect"
    assert told["detect"]["config"]["instance_group"] == [{"count": 3}]
    assert told["voice"]["idle_seconds"] == 5.0
    assert (told["torn"]["bytes"], told["torn"]["config"]) == (0, None)


def test_memory_of_gpus_is_estimated_where_the_config_says_which(tmp_path):
    groups = (
        "instance_group { kind: KIND_GPU count: 2 gpus: [0, 1] } instance_group { kind: KIND_CPU }"
    )
    model(tmp_path, "detect", f'backend: "onnxruntime" {groups}', MIB)
    told = managed_models(tmp_path, ["detect"])["detect"]
    assert told["gpu_bytes"] == {"0": 2 * 66 * MIB, "1": 2 * 66 * MIB}


def test_what_the_build_measured_counts_in_place_of_an_estimate(tmp_path):
    model(tmp_path, "detect", 'backend: "onnxruntime" instance_group { count: 3 }', MIB)
    lock = Lock(
        model="detect",
        version=1,
        variant="onnx-fp32",
        identity="",
        spec_digest="",
        artifact={},
        interface="",
        config_sha256="",
        steps={},
        read={},
        libraries={},
        host={},
        proof={},
        memory={"idle": 80 * MIB, "peak": 200 * MIB, "batch": 8},
        nosbuild="",
    )
    write_lock(lock, tmp_path / "detect/1/nos.lock")
    assert managed_models(tmp_path, ["detect"])["detect"]["bytes"] == 3 * 200 * MIB


def test_a_budget_is_a_size_or_half_of_what_is_free(tmp_path, monkeypatch):
    said = []
    assert memory_budget("1.5GiB", said.append) == 1536 * MIB
    assert memory_budget(MIB, said.append) == MIB
    assert not said
    (tmp_path / "memory.max").write_text(f"{300 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{100 * MIB}\n")
    monkeypatch.setattr(budgets, "_CGROUP", tmp_path)
    assert memory_budget(None, said.append) == 100 * MIB
    assert said == ["Models may take 100.0 MiB: half of the memory that is free (--memory)"]
    for wrong in ("much", 0, -3, True, "0"):
        with pytest.raises(InputError):
            memory_budget(wrong, said.append)


def test_what_killed_servers_left_is_removed_and_what_is_held_stays(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path))
    manager = OnDemand(host(MIB), [], {}, {})
    left, held, young = (manager.lay_out(f"{name}-", *REACHED) for name in "abc")
    for folder in (left, held):
        os.utime(folder, (time.time() - 7200, time.time() - 7200))
    with (held / "model_manager/held").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        manager.lay_out("d-", *REACHED)
        assert [folder.exists() for folder in (left, held, young)] == [False, True, True]


def test_models_that_the_whole_budget_cannot_hold_are_found_with_what_they_call():
    models = {
        "ocr": {"calls": ["detect", "read", "elsewhere"], "bytes": 0},
        "detect": {"calls": [], "bytes": 60 * MIB},
        "read": {"calls": ["detect", "ocr"], "bytes": 50 * MIB},  # in a circle, too
    }
    assert too_large(models, host(110 * MIB)) == {}
    needs = {"host": 110 * MIB}
    assert too_large(models, host(100 * MIB)) == {"ocr": needs, "read": needs}
    assert too_large({}, host(1)) == {}
    models["detect"]["gpu_bytes"] = {"0": 2}
    models["plain"] = {"calls": [], "bytes": MIB}
    gpu = Sizes({"host": 1 << 40, "0": 1})
    assert too_large(models, gpu)["detect"] == {"host": 60 * MIB, "0": 2}
    assert too_large(models, Sizes({**gpu, "0": 2})) == {}
    del models["plain"], models["detect"]["gpu_bytes"]
    with pytest.raises(InputError, match=r"no model fits in 50\.0 MiB.*'detect', needs about 60"):
        too_large(models, host(50 * MIB))


def test_budgets_of_gpus_are_read_by_number():
    assert gpu_budgets(None) == {}
    assert gpu_budgets("0:20GiB, 01:512MiB") == {"0": 20 << 30, "1": 512 * MIB}
    assert gpu_budgets({1: "1GiB", 0: MIB}) == {"1": 1 << 30, "0": MIB}
    for wrong in ("20GiB", "0", "0:", "a:1GiB", "0:1GiB,0:2GiB", "0:lots", "-1:1GiB"):
        with pytest.raises(InputError):
            gpu_budgets(wrong)
