import json
import os
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    def failed(self, code):
        """It ended with this code and one clear message; the message."""
        assert self.code == code, self.out + self.err
        assert "Traceback" not in self.err + self.out
        assert self.err.strip()
        return self.err


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def run_in(cache, command_line):
    """Runs the command line in a folder, wide enough that no line is broken."""

    def run(folder, *arguments, **environment):
        done = command_line.run(
            *map(str, arguments),
            cwd=folder,
            env={**os.environ, "NOSBUILD_CACHE": str(cache), "COLUMNS": "300", **environment},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def nosbuild(tmp_path, run_in):
    def run(*arguments, **environment):
        return run_in(tmp_path, *arguments, **environment)

    return run


@pytest.fixture
def model(tmp_path):
    """Writes model_repository/<name>/model.yaml and files beside it; returns the folder."""

    def write(name, text, **files):
        folder = tmp_path / "model_repository" / name
        folder.mkdir(parents=True)
        (folder / "model.yaml").write_text(f"name: {name}\n{text}")
        for stem, content in files.items():
            (folder / f"{stem}.py").write_text(content)
        return folder

    return write


@pytest.fixture(scope="session")
def gallery_build(tmp_path_factory, run_in):
    """`nosbuild build hub:breast_cancer` in an empty folder, and that folder."""
    folder = tmp_path_factory.mktemp("hub")
    return run_in(folder, "build", "hub:breast_cancer", "--json"), folder
