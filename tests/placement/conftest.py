import json

import pytest
from placed_models import GPU, lock_of, measured

from nosbuild.repository.lock import write_lock


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def model(repository):
    """Writes a built model; ``weights`` is the size of its file, which takes no space."""

    def write(name, config=GPU, *, weights=0, memory=None, speed=None, variant="tensorrt-fp16"):
        version = repository / name / "1"
        version.mkdir(parents=True)
        with (version / "model.plan").open("wb") as file:
            file.truncate(weights)
        (repository / name / "config.pbtxt").write_text(config)
        if memory or speed or variant != "tensorrt-fp16":
            write_lock(lock_of(name, memory, variant), version / "nos.lock")
        if speed:
            (version / "report.json").write_text(json.dumps(measured(*speed)))
        return repository / name

    return write
