"""Every finding of the lint, made by the damage that a user would do."""

import json

import pytest
from variants import BATCHED, make_variant, publish_variant, write_spec

from nosbuild.errors import RepositoryError
from nosbuild.repository.check import check_repository
from nosbuild.repository.unservable import unservable_models

HAND_MADE = """
name: "hand"
backend: "onnxruntime"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""


@pytest.fixture
def by_hand(repository):
    """Writes a model that no build made; returns what check says of it."""

    def write(config, files=("1/model.onnx",)):
        for name in files:
            (repository / "hand" / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / "hand" / name).touch()
        (repository / "hand/config.pbtxt").write_text(config)
        return check_repository(repository)

    return write


def replaced(old, new):
    assert old in HAND_MADE
    return HAND_MADE.replace(old, new)


def test_a_published_model_has_no_finding(publish, repository):
    publish("first")
    publish("second")
    assert check_repository(repository) == []


def test_a_model_made_by_hand_has_no_finding(by_hand):
    assert by_hand(HAND_MADE) == []


@pytest.mark.parametrize(
    ("config", "message", "remedy"),
    [
        ("max_batch_siz: 4", "max_batch_siz", "Correct that line"),
        (replaced('"hand"', '"other"'), "name is 'other', but Triton demands", 'name: "hand"'),
        (replaced("dims: 4 }\noutput", "}\noutput"),
         "input 'x' has no dims", "reshape: { shape: [ ] }"),
        (replaced('"x" data_type: TYPE_FP32', '"x"'), "input 'x' has no data_type", "TYPE_FP32"),
        (HAND_MADE + 'output { name: "y" data_type: TYPE_FP32 dims: 4 }',
         "output 'y' stands twice", "Remove one"),
        (replaced("dims: 4 }\noutput", "dims: -2 }\noutput"), "input 'x' has dims [-2]",
         "-1 for an axis that varies"),
        (replaced("dims: 4 }\noutput", "dims: 0 }\noutput"), "input 'x' has dims [0]",
         "positive sizes"),
        (replaced("max_batch_size: 8", "dynamic_batching { }"),
         "dynamic_batching without max_batch_size", "remove dynamic_batching"),
        (HAND_MADE + "dynamic_batching { preferred_batch_size: [ 4, 16 ] }",
         "preferred_batch_size 16 is above max_batch_size 8", "Lower it"),
        (HAND_MADE + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { '
         'data_type: TYPE_FP32 dims: 4 input_data_file: "gone" } } }',
         "warm-up data of x is missing", "nosbuild build"),
        (replaced('backend: "onnxruntime"', ""), "names no backend", 'backend: "onnxruntime"'),
        (replaced('backend: "onnxruntime"', 'platform: "ensemble" ensemble_scheduling { step { '
                  'model_name: "absent" model_version: -1 } }'),
         "the ensemble calls 'absent', which is not in the repository", "one of hand"),
        (HAND_MADE + "version_policy { specific { versions: 3 } }",
         "serves version 3, which is not there", "There are 1."),
        (HAND_MADE + 'default_model_filename: "other.onnx"', "the model file is missing",
         "nosbuild build"),
    ],
)  # fmt: skip
def test_errors_of_a_config(by_hand, repository, config, message, remedy):
    (finding,) = by_hand(config)
    assert finding.severity == "error"
    assert finding.model == "hand"
    assert message in finding.message
    assert remedy in finding.remedy
    assert finding.file.is_relative_to(repository / "hand")
    assert finding.message in unservable_models(repository, ["hand"])["hand"]


def test_no_version(by_hand):
    (finding,) = by_hand(HAND_MADE, files=["warmup/x"])
    assert (finding.severity, finding.message) == (
        "error",
        "has no version folder (1, 2, ...)",
    )


def test_an_ensemble_of_models_that_are_there(by_hand, publish):
    publish("first")
    ensemble = 'platform: "ensemble" ensemble_scheduling { step { model_name: "m" } }'
    assert by_hand(replaced('backend: "onnxruntime"', ensemble), files=["1/empty"]) == []


def one(repository, severity, *parts):
    (finding,) = check_repository(repository)
    assert finding.severity == severity
    text = f"{finding.file}: {finding.message}\n{finding.remedy}"
    for part in parts:
        assert part in text
    return finding


def test_tampered_artifact(publish, repository, model):
    publish("first")
    (model / "1/model.onnx").write_text("else")
    one(repository, "error", "1/model.onnx: is not the file that was proven", "nosbuild build")


def test_missing_artifact_is_said_once(publish, repository, model):
    publish("first")
    (model / "1/model.onnx").unlink()
    one(repository, "error", "1/model.onnx: the model file is missing", "nosbuild build")


def test_missing_weights_beside_the_artifact(repository, scratch):
    spec = write_spec(repository)
    variant = make_variant(scratch, spec, more_files=["model.onnx.data"])
    publish_variant(variant, spec, repository)
    (repository / "m/1/model.onnx.data").unlink()
    one(repository, "error", "model.onnx.data: is missing; it was proven with it")


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_a_broken_lock(publish, repository, model, text):
    publish("first")
    lock = model / "1/nos.lock"
    lock.write_text(text or json.dumps({**json.loads(lock.read_text()), "more": 1}))
    one(repository, "error", "nos.lock is no lock of this version of nosbuild", "Build")


def test_a_config_edited_by_hand(publish, repository, model):
    publish("first")
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 16", "max_batch_size: 8"))
    one(
        repository,
        "warning",
        "config.pbtxt: is not what version 1 was built with; the next build overwrites it",
        "raw: takes any field",
    )


def test_comments_in_a_config_are_no_edit(publish, repository, model):
    publish("first")
    config = model / "config.pbtxt"
    config.write_text("# mine\n" + config.read_text())
    assert check_repository(repository) == []


def test_a_spec_that_moved_on(publish, repository):
    publish("first")
    write_spec(repository, BATCHED + "description: new")
    one(repository, "warning", "model.yaml: says something else than what was built")


def test_a_version_policy_that_moved_on(publish, repository):
    publish("first")
    publish("second")
    write_spec(repository, BATCHED + "version_policy: all")
    one(repository, "warning", "version_policy means 1, 2, config.pbtxt differs", "nosbuild build")


def test_a_held_version_is_no_finding(publish, repository):
    for mark in ("first", "second"):
        publish(mark, BATCHED + "version_policy: {specific: [1]}")
    assert check_repository(repository) == []


def test_a_spec_that_broke_after_the_build(publish, repository, model):
    publish("first")
    with (model / "model.yaml").open("a") as file:
        file.write("samplez: x\n")
    one(repository, "warning", "samplez", "What is published still serves.")


def test_a_staging_folder(publish, repository, model):
    publish("first")
    (model / ".staging-x").mkdir()
    one(repository, "warning", ".staging-x: left by a build that was killed", "nosbuild build")


def test_a_model_not_built_yet(repository, model):
    write_spec(repository)
    one(repository, "warning", "config.pbtxt: not built yet", f"nosbuild build {model}")


def test_a_model_not_built_yet_with_a_broken_spec(repository):
    write_spec(repository)
    (repository / "m/model.yaml").write_text("name: m\nsource: {onnx: model.onnx}\nsamplez: x\n")
    warning, error = check_repository(repository)
    assert (warning.severity, error.severity) == ("warning", "error")
    assert error.message == "line 3: samplez: unknown key"
    assert "samples" in error.remedy


def test_warnings_do_not_keep_a_repository_from_being_served(publish, repository, model):
    publish("first")
    (model / ".staging-x").mkdir()
    assert unservable_models(repository, ["m"]) == {}


def test_only_the_models_to_be_served_are_judged(publish, repository, by_hand):
    publish("first")
    assert by_hand("{")
    assert unservable_models(repository, ["m"]) == {}
    assert list(unservable_models(repository, ["m", "hand"])) == ["hand"]


def test_no_repository(tmp_path):
    with pytest.raises(RepositoryError, match="does not exist"):
        check_repository(tmp_path / "absent")
    with pytest.raises(RepositoryError, match="holds no model") as caught:
        check_repository(tmp_path)
    assert "nosbuild new" in caught.value.remedy
