"""Both wheels, built once from a copy of the project in which a build has left its traces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
NEEDED = ("builder", "client", "model_repository", "pyproject.toml", "README.md", "LICENSE")
_IGNORED = {
    "model_repository": shutil.ignore_patterns("[0-9]*", "config.pbtxt", "warmup", ".staging-*")
}
BUILT = (
    "config.pbtxt",
    "1/model.onnx",
    "1/model.py",
    "1/nos.lock",
    "1/golden/000.npz",
    "warmup/0123-x",
    ".staging-x/version/model.onnx",
    "__pycache__/samples.cpython-311.pyc",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.packaging)


@dataclass(frozen=True)
class Wheel:
    path: Path

    @property
    def names(self) -> set[str]:
        with zipfile.ZipFile(self.path) as archive:
            return set(archive.namelist())

    def read(self, ending: str) -> str:
        """The one file whose name ends so."""
        with zipfile.ZipFile(self.path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(ending))
            return archive.read(name).decode()


@dataclass(frozen=True)
class Venv:
    folder: Path

    def run(self, *command: str, cwd: Path, **variables: str) -> str:
        """Standard output of a command of this environment; fails with everything it said."""
        return called([str(self.folder / "bin" / command[0]), *command[1:]], cwd, **variables)

    def python(self, code: str, cwd: Path, **variables: str) -> str:
        return self.run("python", "-c", code, cwd=cwd, **variables).strip()


def called(command: list[str], cwd: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """The project as it looks once its gallery was built, whatever it looks like here."""
    folder = tmp_path_factory.mktemp("project")
    for name in (*NEEDED, ".gitignore"):
        source, target = PROJECT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_IGNORED.get(name))
        else:
            shutil.copyfile(source, target)
    for spec in (folder / "model_repository").glob("*/model.yaml"):
        for name in BUILT:
            trace = spec.parent / name
            trace.parent.mkdir(parents=True, exist_ok=True)
            trace.write_bytes(b"built")
    return folder


@pytest.fixture(scope="session")
def wheels(project, tmp_path_factory) -> dict[str, Wheel]:
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    called([*pip, "./client", "."], project)
    return {path.name.partition("-")[0]: Wheel(path) for path in folder.glob("*.whl")}


def make_venv(folder: Path) -> Venv:
    called([sys.executable, "-m", "venv", str(folder)], folder.parent)
    return Venv(folder)


@pytest.fixture(scope="session")
def client_venv(wheels, tmp_path_factory) -> Venv:
    """Nothing but nosclient and what it needs."""
    folder = tmp_path_factory.mktemp("client")
    venv = make_venv(folder / "venv")
    venv.run("pip", "install", "--quiet", str(wheels["nosclient"].path), cwd=folder)
    return venv


@pytest.fixture(scope="session")
def builder_venv(wheels, tmp_path_factory) -> Venv:
    """Both wheels; torch and the like are borrowed from the environment that runs the tests.

    A .pth that names a folder puts it on the path without reading the .pth files in it: what
    is installed there as editable stays out.
    """
    folder = tmp_path_factory.mktemp("builder")
    venv = make_venv(folder / "venv")
    paths = [str(wheel.path) for wheel in wheels.values()]
    venv.run("pip", "install", "--quiet", "--no-deps", *paths, cwd=folder)
    (own,) = venv.folder.glob("lib/python3.*/site-packages")
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (own / "borrowed.pth").write_text("\n".join(borrowed))
    return venv
