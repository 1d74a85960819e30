"""From a repository on the disk to a Placement."""

import inspect
from fractions import Fraction

import pytest
from placed_models import CPU, GIB, GPU

import nosbuild
from nosbuild.cli.plan import plan
from nosbuild.errors import InputError, RepositoryError, SpecError
from nosbuild.placement import place
from nosbuild.placement.placing import RESERVE, UTILISATION

MIB = 2**20


def need(found, name):
    return next(need for need in found.needs if need.model == name)


def test_three_gib_on_a_card_of_eighty_are_three_eightieths(model, repository):
    model("m", memory={"device_peak": 3 * GIB})
    found = nosbuild.place(repository, "80GiB")
    assert found.gpus[0].fraction == Fraction(3, 80)
    assert (found.gpus[0].used_bytes, found.gpus[0].left_bytes) == (3 * GIB, 76 * GIB)
    assert found.as_json()["gpus"][0]["fraction"] == "3/80"
    assert need(found, "m").bytes_from == "measured"
    assert (found.fits, found.gpus_used, found.at_least, found.is_exact) == (True, 1, 1, True)


def test_fractions_are_never_rounded(model, repository):
    model("m", GPU.replace("count: 1", "count: 3"), memory={"device_peak": 10**9 + 7})
    found = place(repository, "80GiB")
    assert found.gpus[0].fraction == Fraction(3 * (10**9 + 7), 80 * GIB)


def test_what_was_not_measured_is_estimated_from_its_files(model, repository):
    model("m", weights=GIB)
    model("on_host_measured", memory={"idle": 1, "peak": 9 * GIB, "batch": 1}, weights=GIB)
    found = place(repository, "80GiB")
    assert need(found, "m").bytes_each == 2 * GIB + 64 * MIB
    for name in ("m", "on_host_measured"):  # what was measured of the host is not the GPU's
        assert need(found, name).bytes_from == "estimated"
        assert need(found, name).bytes_each < 3 * GIB


def test_each_instance_counts_and_each_version_that_is_served(model, repository):
    folder = model("m", GPU.replace("1", "2") + "version_policy { all { } }", weights=GIB)
    (folder / "2").mkdir()
    (folder / "2/model.plan").write_bytes(b"")
    found = place(repository, "4x80GiB")
    assert need(found, "m").bytes == 2 * (2 * GIB + 2 * 64 * MIB)


def test_a_placement_that_is_written_already_counts_as_many_instances(model, repository):
    group = "instance_group { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }"
    model("m", 'backend: "tensorrt" ' + group)
    assert need(place(repository, "4x80GiB"), "m").instances == 4


def test_instances_go_to_several_gpus(model, repository):
    model("m", GPU.replace("1", "5"), memory={"device_peak": 30 * GIB})
    found = place(repository, "4x80GiB")
    assert found.gpus_used == 3
    assert sorted(found.where("m").values()) == [1, 2, 2]


def test_models_for_the_cpu_are_on_the_host_with_the_reason(model, repository):
    model("gpu")
    model("cpu", CPU, memory={"peak": GIB}, variant="onnx-int8-dynamic")
    model("hand", CPU)
    model("script", 'backend: "python"')
    model("both", 'backend: "onnxruntime"')
    found = place(repository, "80GiB", memory="3GiB")
    reasons = {need.model: need.why_host for need in found.host}
    assert reasons == {
        "cpu": "built for the CPU (onnx-int8-dynamic)",
        "hand": "KIND_CPU in config.pbtxt",
        "script": "Triton puts a Python model that says nothing on the CPU",
    }
    assert found.host_used_bytes == 2 * GIB + 2 * 64 * MIB + 32 * MIB
    assert set(found.gpus[0].instances) == {"gpu", "both"}
    assert found.fits
    small = place(repository, "80GiB", memory="1GiB")
    assert not small.fits
    assert small.missing[0].startswith("the host has 1.16 GiB too little for cpu, hand and script")
    with pytest.raises(InputError, match="nothing was placed"):
        small.apply()


def test_an_ensemble_is_its_parts(model, repository):
    steps = 'step { model_name: "a" } step { model_name: "b" }'
    model("a", speed=(100.0,))
    model("b", speed=(200.0, 2))
    model("c")
    model("both", f'platform: "ensemble" ensemble_scheduling {{ {steps} }}')
    found = place(repository, "8x80GiB", models="both")
    assert [need.model for need in found.needs] == ["a", "b"]
    assert found.notes == ("not counted, since --models leaves them out: c",)
    found = place(repository, "8x80GiB", rates={"both": 140, "a": 70}, utilisation=1)
    assert need(found, "a").instances == 3  # (140 + 70) / 100
    assert need(found, "b").instances == 2  # 140 / (200 / 2)
    with pytest.raises(SpecError, match="has no instances of its own") as caught:
        place(repository, "80GiB", rates={"both": {"instances": 2}})
    assert "write it for its parts: a, b" in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "utilisation", "instances"),
    [(84, "0.7", 1), (84.1, "0.7", 2), (400, "0.7", 5), (120, 1, 1), (0.1, "0.7", 1)],
)
def test_rates_become_instances_without_an_error_of_rounding(
    model, repository, rate, utilisation, instances
):
    model("m")
    rates = {"m": {"rate": rate, "throughput": 120}}
    found = place(repository, "8x80GiB", rates=rates, utilisation=utilisation)
    assert need(found, "m").instances == instances
    assert need(found, "m").time_each == Fraction(str(rate)) / 120 / instances


def test_two_instances_that_each_need_most_of_a_gpu_do_not_share_one(model, repository):
    model("m", speed=(120.0,))
    found = place(repository, "4x80GiB", rates={"m": 160})
    assert (need(found, "m").instances, found.gpus_used) == (2, 2)
    assert [gpu.time for gpu in found.gpus] == [Fraction(2, 3), Fraction(2, 3), 0, 0]


def test_instances_that_were_measured_side_by_side_share_one(model, repository):
    model("m", speed=(240.0, 2))
    found = place(repository, "4x80GiB", rates={"m": 160})
    assert (need(found, "m").instances, found.gpus_used) == (2, 1)


def test_a_throughput_that_is_not_known_is_asked_for(model, repository, tmp_path):
    model("m")
    file = tmp_path / "rates.yaml"
    file.write_text("# wanted\nm: 400\n")
    with pytest.raises(SpecError) as caught:
        place(repository, "80GiB", rates=file)
    assert caught.value.problems[0].line == 2
    assert "m: {rate: 400, throughput: 120}" in caught.value.problems[0].remedy
    assert "{instances: 2}" in caught.value.problems[0].remedy


def test_bytes_may_be_given(model, repository):
    model("m")
    found = place(repository, "80GiB", rates={"m": {"memory": "3GiB", "instances": 4}})
    assert (need(found, "m").bytes_from, found.gpus[0].used_bytes) == ("given", 12 * GIB)


def test_a_model_larger_than_any_gpu(model, repository):
    model("large", memory={"device_peak": 90 * GIB})
    model("small", memory={"device_peak": 9 * GIB})
    found = place(repository, "2x80GiB")
    assert found.missing == (
        "an instance of large needs 90.00 GiB, and the largest GPU has 79.00 GiB for it: "
        "11.00 GiB too little",
    )
    assert found.advice == ("without large (1 instance of 90.00 GiB) the others fit",)
    assert (found.fits, found.would_do, found.is_exact) == (False, None, True)
    assert [one.model for one in found.left_out] == ["large"]
    assert found.where("small") == {0: 1}


def test_too_many_for_the_gpus_there_are(model, repository):
    for name in "abc":
        model(name, memory={"device_peak": 60 * GIB})
    model("d", memory={"device_peak": 10 * GIB})
    found = place(repository, "2x80GiB")
    assert found.missing == (
        "32.00 GiB too little: all instances need 190.00 GiB, and 2 GPUs have 158.00 GiB for them",
    )
    assert found.advice == (
        "3 GPUs would do: these, and 1 more of the largest",
        "without a (1 instance of 60.00 GiB) the others fit",
    )
    assert found.would_do == place(repository, "9x80GiB").gpus_used == 3
    assert set(found.gpus[0].instances) | set(found.gpus[1].instances) == {"b", "c", "d"}


def test_bytes_that_fit_together_but_not_piece_by_piece(model, repository):
    model("m", GPU.replace("1", "3"), memory={"device_peak": 45 * GIB})
    found = place(repository, "2x80GiB")
    assert found.missing == (
        "together all instances need 135.00 GiB of 158.00 GiB, but none may be split: there is no "
        "way to put them onto 2 GPUs",
    )
    assert found.would_do == 3


def test_time_that_does_not_suffice(model, repository):
    model("m")
    found = place(repository, "2x80GiB", rates={"m": {"rate": 400, "throughput": 120}})
    assert found.missing == (
        "2.76 GPUs' time too little: the rates ask for 4.76 GPUs in use to 70 % (--utilisation)",
    )
    assert found.would_do == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpus": "80GiB", "models": ["mm"]}, "did you mean 'm'?"),
        ({"gpus": "80GiB", "models": ["unbuilt"]}, "nosbuild build"),
        ({"gpus": "80GiB", "rates": {"mm": 3}}, "did you mean 'm'?"),
        ({"gpus": "80GiB", "rates": {"m": {"rate": 10**9, "throughput": 1}}}, "more than 4,096"),
        ({"gpus": "80GiB", "reserve": "80GiB"}, "leaves nothing of GPU 0"),
        ({"gpus": "80GiB", "reserve": "much"}, "--reserve: 'much' is no size"),
        ({"gpus": "80GiB", "memory": -1}, "--memory: -1 is no size"),
        ({"gpus": "80GiB", "utilisation": 0}, "above 0, up to 1"),
        ({"gpus": "80GiB", "utilisation": "70 %"}, "above 0, up to 1"),
    ],
)
def test_wrong_arguments(model, repository, arguments, message):
    model("m")
    (repository / "unbuilt").mkdir()
    (repository / "unbuilt/model.yaml").write_text("name: unbuilt\n")
    with pytest.raises(InputError) as caught:
        place(repository, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{ kind: KIND_MODEL }", "the model itself chooses its devices"),
        ("{ kind: KIND_GPU } instance_group { kind: KIND_CPU }", "instances of several kinds"),
        (
            '{ kind: KIND_GPU } instance_group { kind: KIND_GPU profile: "1" }',
            "instance groups of different settings",
        ),
    ],
)
def test_instances_that_cannot_be_placed(model, repository, groups, message):
    model("m", f'backend: "tensorrt" instance_group {groups}')
    with pytest.raises(RepositoryError, match=message) as caught:
        place(repository, "80GiB")
    assert "--models" in caught.value.remedy


def test_rates_of_a_model_on_the_host_are_told_and_not_written(model, repository):
    config = model("m", CPU, speed=(100.0, 2), variant="onnx-fp32") / "config.pbtxt"
    before = config.read_bytes()
    found = place(repository, "80GiB", rates={"m": 105}, memory="80GiB")
    assert need(found, "m").instances == 3
    assert found.notes == (
        "m is for the host, of which nothing is written: for 3 instances build it with "
        "instances: 3",
    )
    assert found.apply() == []
    assert config.read_bytes() == before


def test_who_calls_what_is_left_out(model, repository):
    model("large", memory={"device_peak": 90 * GIB})
    step = 'step { model_name: "large" }'
    model("calls", f'platform: "ensemble" ensemble_scheduling {{ {step} }}')
    found = place(repository, "80GiB")
    assert found.notes == ("calls calls large, and is of no use without",)
    assert found.advice == ("left out: large (1 instance of 90.00 GiB)",)


def test_the_command_line_has_the_same_defaults():
    defaults = inspect.signature(plan).parameters
    assert (defaults["reserve"].default, defaults["utilisation"].default) == (RESERVE, UTILISATION)


def test_what_is_not_built_is_told(model, repository):
    model("m")
    (repository / "later").mkdir()
    (repository / "later/model.yaml").write_text("name: later\n")
    assert place(repository, "80GiB").notes == ("not built, and not counted: later",)
