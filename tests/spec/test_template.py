from __future__ import annotations

import importlib.util

import pytest

from nosbuild.errors import InputError
from nosbuild.spec import load_spec, start_model, template

KINDS = ("torch", "huggingface", "onnx", "sklearn", "python", "pipeline")


@pytest.mark.parametrize("kind", KINDS)
def test_loads_as_it_stands(kind, tmp_path):
    folder = tmp_path / "on"  # a name that YAML would read as a boolean
    assert start_model(folder, kind) == folder / "model.yaml"
    spec = load_spec(folder)
    assert (spec.name, spec.source.kind) == ("on", kind)
    written = {file.name for file in folder.iterdir()}
    assert written == ({"model.yaml", "model.py"} if kind == "python" else {"model.yaml"})


_EVERYWHERE = ("version_policy:", "response_cache:", "samples:", "build_requirements:")
_ONE_MODEL = ("batching:", "  max_", "  preferred:", "max_execution_seconds:")


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        *((kind, (*_EVERYWHERE, *_ONE_MODEL)) for kind in KINDS if kind != "pipeline"),
        ("pipeline", _EVERYWHERE),
        ("python", ("methods:", "requirements:", "python:", "models:", "  init:")),
        ("onnx", ("samples:", "state:", "sequence:")),
    ],
)
def test_loads_with_every_comment_that_holds_a_key_switched_on(kind, keys, tmp_path):
    folder = tmp_path / "m"
    file = start_model(folder, kind)
    text = file.read_text()
    for key in keys:
        comment = f"  # {key.lstrip()}" if key.startswith("  init") else f"# {key}"
        assert f"\n{comment}" in text
        text = text.replace(f"\n{comment}", f"\n{key}")
    file.write_text(text)
    (folder / "samples.py").touch()
    spec = load_spec(folder)
    switched_on = {key.strip(":") for key in keys if not key.startswith(" ")}
    assert switched_on <= spec.model_fields_set


def test_the_class_to_start_from_works(tmp_path):
    start_model(tmp_path / "m", "python")
    spec = importlib.util.spec_from_file_location("started", tmp_path / "m" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sentences = ["It rained.", "Was it cold?", "Yes!", "We stayed."]
    text = " ".join(sentences)
    assert module.Summary(sentences=2)(text) == "It rained. Was it cold?"
    assert list(module.Summary().stream(text)) == sentences


def test_the_class_that_is_there_is_the_model(tmp_path):
    code = "class _Hidden: ...\n\nclass Mine:\n    def __call__(self, text: str) -> str: ...\n"
    (tmp_path / "model.py").write_text(code)
    start_model(tmp_path, "python")
    assert load_spec(tmp_path).source.reference == "model.py:Mine"
    assert (tmp_path / "model.py").read_text() == code


def test_code_without_a_class_is_left_alone(tmp_path):
    (tmp_path / "model.py").write_text("def create(): ...\n")
    with pytest.raises(InputError, match=r"model\.py has no class\nWrite the class"):
        start_model(tmp_path, "python")
    assert [file.name for file in tmp_path.iterdir()] == ["model.py"]


def test_unknown_kind():
    with pytest.raises(InputError, match="unknown kind of source 'torhc'\ndid you mean 'torch'"):
        template("m", "torhc")
