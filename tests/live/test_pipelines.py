"""Pipelines: built of models that are there, proven as a whole, served by a real Triton."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from members_at_hand import graph, publish_member
from nosbuild.errors import Refused, RepositoryError, SpecError
from nosbuild.prove import prove_served
from nosbuild.repository.check import check_repository
from nosbuild.runtime import serve
from nosbuild.steps import build

NOSBUILD = Path(sys.executable).with_name("nosbuild")

ROW = {"x": "float32[batch, 4]"}
SAME = {"y": "float32[batch, 4]"}
NUMBER = {"y": "float32[batch]"}
TWO = np.array(2, np.float32)

TWICE_SUM = """
source:
  pipeline:
    - {model: total, in: {x: doubled}, out: {y: sum}}
    - {model: double, in: {x: x}, out: {y: doubled}}
outputs: {sum: sum, doubled: doubled}
"""
MIXED = """
source:
  pipeline: [{model: double, in: {x: x}, out: {y: d}}, {model: norm, in: {x: d}, out: {y: n}}]
outputs: {n: n}
"""
NESTED = """
source:
  pipeline:
    - {model: twice_sum, in: {x: x}, out: {doubled: once}}
    - {model: double, in: {x: once}, out: {y: y}}
outputs: {y: y}
samples: "rows.py:rows"
"""
ROWS = """
import numpy as np

def rows():
    return [{"x": np.full(4, number, np.float32)} for number in range(5)]
"""


def multiplier(factor=TWO):
    return graph("Mul", ROW, SAME, [factor])


def write_pipeline(repository, name, text):
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(f"name: {name}\n{text}")
    return folder


@pytest.fixture
def members(tmp_path):
    """``members(factor)`` publishes the models that the pipelines here call."""

    def publish(factor=TWO, source=None, row=ROW, same=SAME):
        repository = tmp_path / "repository"
        made = graph("Mul", row, same, [factor])
        publish_member(
            repository,
            tmp_path,
            "double",
            row,
            same,
            made,
            source=source,
            dims="dims: {batch: 1..2..4}",
        )
        return repository

    summed = graph("ReduceSum", ROW, NUMBER, [np.array([1])], keepdims=0)
    publish_member(
        tmp_path / "repository",
        tmp_path,
        "total",
        ROW,
        NUMBER,
        summed,
        dims="dims: {batch: 1..4..8}",
    )
    return publish


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Three pipelines, built with one command that names none of their models."""
    scratch = tmp_path_factory.mktemp("pipelines")
    folder = scratch / "repository"
    publish_member(
        folder, scratch, "double", ROW, SAME, multiplier(), dims="dims: {batch: 1..2..4}"
    )
    summed = graph("ReduceSum", ROW, NUMBER, [np.array([1])], keepdims=0)
    publish_member(folder, scratch, "total", ROW, NUMBER, summed, dims="dims: {batch: 1..4..8}")
    rows, number = {"x": "float32[rows, 4]"}, {"y": "float32[]"}
    norm = graph("ReduceL2", rows, number, keepdims=0)
    publish_member(folder, scratch, "norm", rows, number, norm, dims="dims: {rows: 1..3..9}")
    write_pipeline(folder, "twice_sum", TWICE_SUM)
    write_pipeline(folder, "mixed", MIXED)
    nested = write_pipeline(folder, "a_nested", NESTED)
    (nested / "rows.py").write_text(ROWS)
    command = [NOSBUILD, "build", nested, folder / "mixed", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {one["name"]: one for one in json.loads(done.stdout)["built"]}
    return folder, built, done.stderr


@pytest.fixture(scope="module")
def service(repository):
    folder, _, _ = repository
    with (
        serve(folder, models=["a_nested", "mixed", "twice_sum"]) as running,
        running.client() as client,
    ):
        yield running, client


def test_what_is_called_is_built_first_and_said(repository):
    _, built, said = repository
    assert set(built) == {"mixed", "twice_sum", "a_nested"}
    assert list(built).index("twice_sum") < list(built).index("a_nested")
    assert "twice_sum  is not built yet, and a_nested calls it" in said
    assert all(one["proof"]["passed"] and one["variant"] == "ensemble" for one in built.values())
    assert built["a_nested"]["proof"]["real_samples"]
    assert built["a_nested"]["proof"]["batches"] == [1, 2, 4]
    (row,) = built["twice_sum"]["variants"]
    assert "ask for all of its outputs: doubled goes on to another model" in row["reason"]
    assert (
        "double (onnx-fp32) and total (onnx-fp32) in one request" in built["twice_sum"]["headline"]
    )


def test_a_repository_of_ensembles_has_no_problems(repository):
    folder, _, _ = repository
    assert check_repository(folder) == []
    lock = json.loads((folder / "twice_sum" / "1" / "nos.lock").read_text())
    assert set(lock["details"]["members"]) == {"double", "total"}
    assert list(lock["artifact"]) == ["pipeline.json"]


def test_the_models_of_an_ensemble_are_loaded_with_it(service):
    running, _ = service
    assert running.models() == ["a_nested", "double", "mixed", "norm", "total", "twice_sum"]


def test_values_pass_from_model_to_model(service):
    _, client = service
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    answer = client.run("twice_sum", {"x": x})
    np.testing.assert_array_equal(answer["doubled"], 2 * x)
    np.testing.assert_array_equal(answer["sum"], (2 * x).sum(1, keepdims=True))
    np.testing.assert_array_equal(client.run("a_nested", {"x": x})["y"], 4 * x)


def test_the_smallest_model_limits_the_batch(service):
    _, client = service
    assert client.get_model_info("twice_sum").max_batch_size == 4


def test_a_model_without_a_batch_takes_all_rows(service):
    _, client = service
    x = np.ones((3, 4), np.float32)
    np.testing.assert_allclose(client.run("mixed", {"x": x})["n"], [np.sqrt(48)])


def test_the_proof_holds_through_the_server(repository, service):
    folder, _, _ = repository
    running, _ = service
    proofs = prove_served(folder, ["twice_sum", "a_nested"], server=running)
    assert [proof.model for proof in proofs] == ["a_nested", "twice_sum"]
    assert all(proof.passed for proof in proofs), [proof.refusal() for proof in proofs]


def test_an_unchanged_pipeline_stays_as_it_is(repository):
    folder, _, _ = repository
    again = build(folder / "mixed")
    assert not again.is_new
    assert all(step.cached for step in again.steps)


def test_a_model_rebuilt_with_other_answers_asks_for_another_proof(members):
    repository = members()
    pipeline = write_pipeline(repository, "twice_sum", TWICE_SUM)
    build(pipeline)
    members(np.array(3, np.float32))
    (finding,) = check_repository(repository)
    assert finding.severity == "warning"
    assert "calls double version 2 (onnx-fp32), which is not the onnx-fp32" in finding.message
    assert finding.remedy == f"nosbuild build {pipeline}"
    assert build(pipeline).version == 2
    assert check_repository(repository) == []


def test_a_model_rebuilt_with_another_shape_is_an_error(members):
    repository = members()
    pipeline = write_pipeline(repository, "twice_sum", TWICE_SUM)
    build(pipeline)
    members(row={"x": "float32[batch, 5]"}, same={"y": "float32[batch, 5]"})
    errors = [one for one in check_repository(repository) if one.severity == "error"]
    assert [one.model for one in errors] == ["twice_sum"]
    with pytest.raises(RepositoryError, match="whose inputs, outputs or largest batch are not"):
        serve(repository, models=["twice_sum"])
    with pytest.raises(SpecError) as caught:
        build(pipeline)
    assert "total.x takes float32[batch, 4]" in str(
        caught.value
    ) and "double.y is float32[batch, 5]" in str(caught.value)


def test_edited_steps_are_an_error(repository, tmp_path):
    folder, _, _ = repository
    copy = tmp_path / "repository"
    shutil.copytree(folder, copy)
    config = copy / "twice_sum" / "config.pbtxt"
    config.write_text(config.read_text().replace('model_name: "double"', 'model_name: "total"'))
    messages = [one.message for one in check_repository(copy) if one.severity == "error"]
    assert "its steps are not those of version 1, which were proven" in messages


def test_what_is_published_must_answer_as_the_originals_do(members):
    wrong = multiplier(np.array(2.1, np.float32))
    repository = members(source=wrong)
    pipeline = write_pipeline(repository, "twice_sum", TWICE_SUM)
    with pytest.raises(Refused, match="twice_sum is not proven") as caught:
        build(pipeline)
    assert "doubled: relative <= 0.001" in caught.value.message
    assert not (pipeline / "config.pbtxt").exists()


def test_an_original_that_moved_on_is_built_first(members):
    repository = members()
    spec = repository / "double" / "model.yaml"
    spec.write_text(spec.read_text().replace("dims:", "description: other\ndims:"))
    build(write_pipeline(repository, "twice_sum", TWICE_SUM))  # what it says of the source holds
    spec.write_text(
        spec.read_text()
        .replace("{x: '", "{x: {tensor: '")
        .replace("4]'}", "4]', range: [0, 1]}}", 1)
    )
    with pytest.raises(RepositoryError, match="double version 1 was built from") as caught:
        build(repository / "twice_sum")
    assert caught.value.remedy == f"Build it first: nosbuild build {repository / 'double'}"


def test_axes_are_named_as_the_models_know_them(tmp_path):
    repository = tmp_path / "repository"
    x, y = {"x": "float32[batch, n]"}, {"y": "float32[batch, n]"}
    negated = graph("Neg", x, y)
    dims = "dims: {batch: 1..2..4, n: 1..3..8}"
    publish_member(repository, tmp_path, "negated", x, y, negated, dims=dims, declared=False)
    text = """
source: {pipeline: [{model: negated, in: {x: x}, out: {y: y}}]}
outputs: {y: y}
"""
    result = build(write_pipeline(repository, "minus", text))
    lock = json.loads((result.folder / "1" / "nos.lock").read_text())
    assert lock["tensors"]["inputs"] == x
    assert lock["tensors"]["dims"] == {"batch": "1..2..4", "n": "1..3..8"}


def test_where_no_original_is_there_what_is_published_counts(members):
    repository = members()
    for name in ("double", "total"):
        (repository / name / "model.yaml").unlink()
        (repository / name / "model.onnx").unlink()
    result = build(write_pipeline(repository, "twice_sum", TWICE_SUM))
    (row,) = result.variants
    assert "no model.yaml is there for double, total" in row.reason


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        (TWICE_SUM.replace("double,", "duoble,"), "there is no model 'duoble'", "did you mean"),
        (TWICE_SUM.replace("double,", "draft,"), "draft is not built yet", "nosbuild build"),
        (TWICE_SUM.replace("{x: x}", "{x: sum}"), "wait for each other", "let one of them"),
    ],
)
def test_a_model_that_cannot_be_called_is_named_with_its_line(members, text, found, remedy):
    repository = members()
    write_pipeline(repository, "draft", "source: {onnx: model.onnx}").joinpath("model.onnx").touch()
    pipeline = write_pipeline(repository, "twice_sum", text)
    with pytest.raises(SpecError) as caught:
        build(pipeline)
    (problem,) = caught.value.problems
    assert found in problem.found
    assert remedy in problem.remedy
    assert problem.line in (5, 6)
    assert [path.name for path in pipeline.iterdir()] == ["model.yaml"]
