from __future__ import annotations

import pytest

from nosbuild.errors import InputError
from nosbuild.spec import load_spec, template

KINDS = ("torch", "huggingface", "onnx", "sklearn")


@pytest.mark.parametrize("kind", KINDS)
def test_loads_as_it_stands(kind, tmp_path):
    folder = tmp_path / "on"  # a name that YAML would read as a boolean
    folder.mkdir()
    (folder / "model.yaml").write_text(template("on", kind))
    spec = load_spec(folder)
    assert (spec.name, spec.source.kind) == ("on", kind)


@pytest.mark.parametrize("kind", KINDS)
def test_loads_with_every_comment_that_holds_a_key_switched_on(kind, tmp_path):
    text = template("m", kind)
    keys = ("version_policy:", "response_cache:", "samples:", "batching:", "  max_", "  preferred:")
    for key in keys:
        assert f"\n# {key}" in text
        text = text.replace(f"\n# {key}", f"\n{key}")
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.yaml").write_text(text)
    (folder / "samples.py").touch()
    spec = load_spec(folder)
    assert spec.samples == "samples.py:samples"
    assert spec.batching is not None
    assert spec.batching.preferred == (4, 8)


def test_unknown_kind():
    with pytest.raises(InputError, match="unknown kind of source 'torhc'\ndid you mean 'torch'"):
        template("m", "torhc")
