"""What was changed after its proof is not served, by any door; what a user made by hand is."""

import re
import shutil

import numpy as np
import onnx
import published_models as published
import pytest

from nosbuild.errors import RepositoryError
from nosbuild.prove import prove_served
from nosbuild.repository.check import check_repository
from nosbuild.runtime import serve


def edit_weights(folder):
    """As somebody would: another number, in a file that loads."""
    file = folder / "1/model.onnx"
    model = onnx.load(file)
    (weights,) = model.graph.initializer
    array = onnx.numpy_helper.to_array(weights).copy()
    array[0, 0] += 1e-3
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    onnx.save(model, file)


def truncate(folder):
    file = folder / "1/model.onnx"
    file.write_bytes(file.read_bytes()[:-1])


def replace(folder):
    shutil.copy(folder.parent / "other/1/model.onnx", folder / "1/model.onnx")


def name_another_file(folder):
    shutil.copy(folder.parent / "other/1/model.onnx", folder / "1/better.onnx")
    with (folder / "config.pbtxt").open("a") as config:
        config.write('\ndefault_model_filename: "better.onnx"')


def name_another_backend(folder):
    (folder / "1/model.py").write_text("class TritonPythonModel: ...")
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"python"'))


def lose_the_lock(folder):
    (folder / "1/nos.lock").unlink()


def serve_an_older_version(folder):
    """Version 2 is in order, but the config serves all there are."""
    published.classifier(folder.parent, folder.name, version=2)
    edit_weights(folder)
    with (folder / "config.pbtxt").open("a") as config:
        config.write("\nversion_policy { all { } }")


SABOTAGE = {
    edit_weights: "1/model.onnx: is not the file that was proven: its sha256 differs",
    truncate: "1/model.onnx: is not the file that was proven: its sha256 differs",
    replace: "1/model.onnx: is not the file that was proven: its sha256 differs",
    name_another_file: "1/better.onnx: is what config.pbtxt names, but not what was proven",
    name_another_backend: "names the backend 'python', proven was 'onnxruntime'",
    lose_the_lock: "1/nos.lock: is missing, though a build made this version",
    serve_an_older_version: "1/model.onnx: is not the file that was proven: its sha256 differs",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sabotaged")
    published.classifier(folder, "other", weights=published.SCORES + 1)
    published.lock(folder / "other")
    published.classifier(folder, "good")
    published.classifier(folder, "by_hand")
    (folder / "by_hand/1/nos.lock").unlink()
    shutil.rmtree(folder / "by_hand/1/golden")
    for sabotage in SABOTAGE:
        published.classifier(folder, sabotage.__name__)
        sabotage(folder / sabotage.__name__)
    return folder


def test_nothing_is_served_where_something_is_not_what_was_proven(repository):
    with pytest.raises(RepositoryError) as caught:
        serve(repository)
    for sabotage, reason in SABOTAGE.items():
        (line,) = [x for x in caught.value.message.splitlines() if f"'{sabotage.__name__}'" in x]
        assert reason in line
    assert "'good'" not in caught.value.message
    assert "nosbuild check" in caught.value.remedy
    assert "--keep-going" in caught.value.remedy


@pytest.fixture(scope="module")
def service(repository):
    with serve(repository, keep_going=True) as running:
        yield running


def test_the_others_are_served_where_asked_to_keep_going(service):
    assert service.models() == ["by_hand", "good", "other"]
    assert set(service.failures) == {sabotage.__name__ for sabotage in SABOTAGE}
    row = np.ones((1, 4), np.float32)
    with service.client() as client:
        scores = client.run("good", {"x": row})["scores"]
    np.testing.assert_allclose(scores, row @ published.SCORES)


@pytest.mark.parametrize("sabotage", [edit_weights, lose_the_lock])
def test_a_running_service_does_not_load_it_either(service, sabotage):
    with pytest.raises(RepositoryError, match="must not be loaded") as caught:
        service.load_model(sabotage.__name__)
    assert SABOTAGE[sabotage] in caught.value.message
    assert f"nosbuild build {service.repository / sabotage.__name__}" in caught.value.remedy
    assert sabotage.__name__ not in service.models()


def test_the_command_line_does_not_load_it_either(service, command):
    done = command("load", "edit_weights", "--url", service.grpc_url)
    assert done.returncode == 3
    assert "must not be loaded" in done.stderr
    assert SABOTAGE[edit_weights] in done.stderr
    assert "edit_weights" not in service.models()
    assert command("load", "good", "--url", service.grpc_url).stdout == "good is loaded\n"


ENGINE = {
    "flavour": "tensorrt", "version": "10.13.3.9", "requirement": "", "compute_capability": "1.0",
    "gpu": "an old GPU", "driver": "", "cuda": "", "flags": [], "hardware_compatibility": "none",
    "workspace_bytes": 0, "onnx_sha256": "", "profiles": [],
}  # fmt: skip


def test_an_engine_that_does_not_fit_this_machine(tmp_path):
    published.classifier(tmp_path, "engine")
    folder = tmp_path / "engine"
    (folder / "1/model.onnx").rename(folder / "1/model.plan")
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"tensorrt"'))
    published.lock(folder, backend="tensorrt", details=ENGINE)
    reason = r"cannot be served on this machine: (a TensorRT engine needs|the engine was built on)"
    with pytest.raises(RepositoryError, match=reason):
        serve(tmp_path)
    (finding,) = [f for f in check_repository(tmp_path) if re.search(reason, f.message)]
    assert finding.severity == "warning"  # the repository may be for another machine
    assert "build for this machine" in finding.remedy


def test_the_proof_of_a_repository_says_what_is_not_served(repository):
    proofs = prove_served(repository, ["good", "truncate"])
    verdicts = {proof.model: proof.passed for proof in proofs}
    assert verdicts == {"good": True, "truncate": False}
    (refused,) = [proof for proof in proofs if not proof.passed]
    assert SABOTAGE[truncate] in refused.refusal()
    assert refused.ways == ()
    assert "truncate v1: not proven, it cannot be served" in refused.headline()
