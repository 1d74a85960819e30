"""`nosbuild plan`: on models made by hand, and on one that is built again afterwards."""

import onnx
import pytest
from onnx import TensorProto, helper

GROUP = "instance_group {{ count: {} kind: KIND_GPU }}"


@pytest.fixture
def by_hand(tmp_path):
    """Writes a model without a build; ``size`` is that of its file, which takes no space."""

    def write(name, instances=1, size=0):
        folder = tmp_path / "model_repository" / name
        (folder / "1").mkdir(parents=True)
        with (folder / "1/model.plan").open("wb") as file:
            file.truncate(size)
        (folder / "config.pbtxt").write_text(f'backend: "tensorrt" {GROUP.format(instances)}')
        return folder / "config.pbtxt"

    return write


@pytest.fixture
def onnx_model(model):
    """Writes a model.yaml whose instances run on a GPU, and an ONNX file that a CPU can prove."""

    def write(name, more="instances: {kind: gpu, count: 1}\n"):
        folder = model(name, f"source: {{onnx: m.onnx}}\n{more}")
        value = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"
        ]
        graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "m", *zip(value))
        opset = helper.make_opsetid("", 17)
        made = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.save(made, folder / "m.onnx")
        return folder

    return write


def test_a_plan_for_people(nosbuild, by_hand):
    by_hand("large", 2, 15 * 2**30)
    by_hand("small")
    done = nosbuild("plan", "--gpus", "4x80GiB")
    assert done.code == 0, done.err
    heading, first, *_ = done.out.splitlines()
    assert heading.split() == ["GPU", "memory", "models", "bytes", "of", "it", "left"]
    assert first.split()[:8] == ["0", "80.00", "GiB", "large", "×", "2,", "small", "×"]
    assert "estimated" in done.out
    assert "✓ 1 GPU; at least 1 is needed" in done.out


def test_a_plan_for_machines_and_rates(nosbuild, by_hand, tmp_path):
    by_hand("m")
    by_hand("other")
    (tmp_path / "rates.yaml").write_text("m: {rate: 400, throughput: 120, memory: 3GiB}\n")
    plan = ("plan", "--gpus", "5x80GiB", "--models", "m", "--rates", "rates.yaml", "--json")
    told = nosbuild(*plan).json
    assert [gpu["fraction"] for gpu in told["gpus"]] == ["3/80"] * 5
    assert (told["fits"], told["gpus_used"], told["at_least"]) == (True, 5, 5)
    [row] = told["models"]
    assert (row["model"], row["instances"], row["time_each"]) == ("m", 5, "2/3")
    assert told["notes"] == ["not counted, since --models leaves them out: other"]
    used = nosbuild(*plan, "--utilisation", "1").json
    assert used["gpus_used"] == 4


def test_what_does_not_fit_is_code_3_and_nothing_is_written(nosbuild, by_hand):
    config = by_hand("large", 3, 30 * 2**30)
    before = config.read_bytes()
    done = nosbuild("plan", "--gpus", "2x80GiB", "--apply")
    assert done.code == 3
    assert "too little" in done.out
    assert "3 GPUs would do" in done.out
    assert "nothing was written" in done.out
    assert config.read_bytes() == before
    told = nosbuild("plan", "--gpus", "2x80GiB", "--apply", "--json")
    assert (told.code, told.json["fits"], told.json["changed"]) == (3, False, [])
    assert told.json["would_do"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "four"], "Write e.g. 80GiB, 4x80GiB"),
        (["--gpus", "80GiB", "--models", "mm"], "did you mean 'm'?"),
        (["--gpus", "80GiB", "--rates", "none.yaml"], "none.yaml: cannot be read"),
        (["--gpus", "80GiB", "--rates", "rates.yaml"], "rates.yaml:2: m.rat: unknown key"),
        (["elsewhere", "--gpus", "80GiB"], "elsewhere does not exist"),
    ],
)
def test_wrong_input_is_code_3(nosbuild, by_hand, tmp_path, arguments, message):
    by_hand("m")
    (tmp_path / "rates.yaml").write_text("m:\n  rat: 3\n")
    assert message in nosbuild("plan", *arguments).failed(3)


def test_a_written_plan_outlives_builds_until_instances_change(nosbuild, onnx_model, tmp_path):
    folder = onnx_model("net")
    assert nosbuild("build", folder).code == 0
    (tmp_path / "rates.yaml").write_text("net: {instances: 3, memory: 30GiB}\n")
    apply = ("plan", "--gpus", "2x80GiB", "--rates", "rates.yaml", "--apply")
    done = nosbuild(*apply)
    assert done.code == 0, done.err
    assert "written: net; a running server takes it on nosbuild load MODEL" in done.out
    placed = (folder / "config.pbtxt").read_bytes()
    assert b"gpus: 0" in placed
    assert b"gpus: 1" in placed
    assert "every config.pbtxt says so already" in nosbuild(*apply).out
    assert "no problems found" in nosbuild("check").out

    # Nothing changed.
    assert "unchanged, version 1" in nosbuild("build", folder).out
    assert (folder / "config.pbtxt").read_bytes() == placed

    # Another model in the same place: a new version, where the old one was.
    yaml = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(yaml + "description: better\n")
    done = nosbuild("build", folder)
    assert "its placement is kept: GPU 0, 1" in done.out
    assert "no problems found" in nosbuild("check").out

    # Other instances are wanted.
    (folder / "model.yaml").write_text(yaml.replace("count: 1", "count: 2"))
    done = nosbuild("build", folder)
    assert "its placement on GPUs is gone, since instances changed in model.yaml" in done.out
    assert b"gpus" not in (folder / "config.pbtxt").read_bytes()
