import pytest
from variants import BATCHED, write_spec

from nosbuild.errors import RepositoryError
from nosbuild.repository.listing import ModelRow, list_models


def test_built_and_unbuilt_and_broken(publish, repository):
    publish("first", BATCHED + "description: one")
    publish("second", BATCHED + "description: one")
    write_spec(repository, BATCHED + "description: two", name="n")
    (write_spec(repository, name="o").file).write_text("name: o\nsourcce: 1\n")
    built, unbuilt, broken = list_models(repository)
    size = (repository / "m/2/model.onnx").stat().st_size
    assert built == ModelRow("m", 2, "onnx-fp32", size, 16, 0, "one")
    assert unbuilt == ModelRow("n", 0, "", 0, 0, 0, "two")
    assert (broken.name, broken.version) == ("o", 0)
    assert broken.description.startswith("broken model.yaml: ")


def test_a_model_made_by_hand(repository):
    (repository / "hand/1").mkdir(parents=True)
    (repository / "hand/1/model.py").write_text("pass")
    (repository / "hand/config.pbtxt").write_text('backend: "python"')
    assert list_models(repository) == [ModelRow("hand", 1, "python", 4, 0, 0, "")]


def test_an_empty_repository(repository):
    with pytest.raises(RepositoryError, match="holds no model"):
        list_models(repository)
