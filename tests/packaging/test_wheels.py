"""What is in the wheels, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from gallery_models import GALLERY_MODELS

PROJECT = Path(__file__).resolve().parents[2]
GALLERY = "nosbuild/hub/gallery/"


def sources(folder: Path, root: Path) -> set[str]:
    """The package's own files, as a wheel names them."""
    return {
        str(path.relative_to(root))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def packaged(names: set[str]) -> set[str]:
    return {name for name in names if ".dist-info/" not in name}


def test_nosbuild_holds_the_whole_package(wheels, project):
    names = packaged(wheels["nosbuild"].names)
    own = {name for name in names if not name.startswith(GALLERY)}
    assert own == sources(project / "builder/nosbuild", project / "builder")
    assert "nosbuild/py.typed" in own
    assert "nosbuild/inside_triton/backends/onnxruntime/model.py" in own
    assert "nosbuild/inside_triton/server_python/sitecustomize.py" in own
    assert "nosbuild/inside_triton/model_environments/activate" in own


def test_nosbuild_holds_the_gallery_and_nothing_built(wheels, project):
    names = {name for name in wheels["nosbuild"].names if name.startswith(GALLERY)}
    expected = {
        f"{GALLERY}{path.parent.name}/{path.name}"
        for pattern in ("*/model.yaml", "*/*.py", "*/*.txt")
        for path in (project / "model_repository").glob(pattern)
    }
    assert {name.split("/")[3] for name in expected if name.endswith("model.yaml")} == set(
        GALLERY_MODELS
    )
    assert all(
        any(name.startswith(f"{GALLERY}{m}/samples.py") for name in expected)
        for m in GALLERY_MODELS
    )
    assert names == expected


def test_nosclient_holds_nothing_but_itself(wheels, project):
    names = packaged(wheels["nosclient"].names)
    assert names == sources(project / "client/nosclient", project / "client")
    assert "nosclient/py.typed" in names


@pytest.mark.parametrize("name", ["nosbuild", "nosclient"])
def test_licence_travels_along(wheels, name):
    licence = (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert wheels[name].read(".dist-info/licenses/LICENSE") == licence


@pytest.mark.parametrize(
    ("name", "readme"), [("nosbuild", "README.md"), ("nosclient", "client/README.md")]
)
def test_description_is_the_readme(wheels, name, readme):
    text = (PROJECT / readme).read_text(encoding="utf-8").strip()
    assert text
    assert wheels[name].read(".dist-info/METADATA").endswith(text + "\n")
