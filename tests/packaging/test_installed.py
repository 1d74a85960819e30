"""What a user gets from the wheels, without the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gallery_models import GALLERY_MODELS


def test_client_alone_brings_no_ml_library(client_venv, tmp_path):
    listed = json.loads(client_venv.run("pip", "list", "--format=json", cwd=tmp_path))
    installed = {row["name"].lower() for row in listed}
    assert {"nosclient", "numpy", "tritonclient"} <= installed
    assert not installed & {"nosbuild", "torch", "onnx", "onnxruntime", "transformers", "pydantic"}


def test_client_alone_imports(client_venv, tmp_path):
    code = "import nosclient; nosclient.Client(), nosclient.Client('http://localhost'); print('ok')"
    assert client_venv.python(code, tmp_path) == "ok"


def test_versions_agree(builder_venv, tmp_path):
    code = (
        "import importlib.metadata as m, json, nosbuild, nosclient;"
        "print(json.dumps([nosbuild.__version__, m.version('nosbuild'),"
        "nosclient.__version__, m.version('nosclient')]))"
    )
    assert len(set(json.loads(builder_venv.python(code, tmp_path)))) == 1


def test_installed_packages_are_the_wheels(builder_venv, tmp_path):
    code = "import nosbuild, nosclient; print(nosbuild.__file__, nosclient.__file__)"
    for file in builder_venv.python(code, tmp_path).split():
        assert Path(file).is_relative_to(builder_venv.folder)


def test_hub_lists_the_gallery(builder_venv, tmp_path):
    listed = json.loads(builder_venv.run("nosbuild", "hub", "--json", cwd=tmp_path))
    assert sorted(model["name"] for model in listed) == GALLERY_MODELS


@pytest.fixture(scope="module")
def built(builder_venv, tmp_path_factory):
    """A gallery model, built from the wheel in an empty folder; and what the build said."""
    folder = tmp_path_factory.mktemp("empty")
    cache = tmp_path_factory.mktemp("cache")
    said = builder_venv.run(
        "nosbuild", "build", "hub:breast_cancer", "--json", cwd=folder, NOSBUILD_CACHE=str(cache)
    )
    return folder, json.loads(said)


def test_hub_model_builds_in_an_empty_folder(built, builder_venv):
    folder, said = built
    (result,) = said["built"]
    assert said["failed"] == []
    assert result["proof"]["passed"]
    assert Path(result["folder"]) == folder / "model_repository/breast_cancer"
    assert (folder / "model_repository/breast_cancer/1/model.onnx").is_file()
    # What is installed stays as it was.
    installed = builder_venv.folder.glob("lib/python3.*/site-packages/nosbuild/hub/gallery/*/*")
    assert {file.name for file in installed if file.name != "__pycache__"}.isdisjoint(
        {"config.pbtxt", "1", "warmup"}
    )


@pytest.mark.live
def test_installed_server_answers(built, builder_venv):
    folder, _ = built
    code = (
        "import nosbuild\n"
        "with nosbuild.serve('model_repository', http_port=0, grpc_port=0, metrics_port=0) as s:\n"
        "    with s.client() as client:\n"
        "        print(client.run('breast_cancer', {'features': [[0.0] * 30] * 2})['label'].shape)"
    )
    assert builder_venv.python(code, folder) == "(2, 1)"
