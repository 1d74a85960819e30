from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nosbuild.spec import ModelSpec, load_spec

Load = Callable[..., ModelSpec]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a model.yaml into the folder `m`, beside a model.py and a samples.py; loads it."""

    def write_and_load(content: str | bytes) -> ModelSpec:
        folder = tmp_path / "m"
        folder.mkdir(exist_ok=True)
        (folder / "model.py").write_text("def create(): ...\n")
        (folder / "samples.py").write_text("def samples(): ...\n")
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "model.yaml").write_bytes(raw)
        return load_spec(folder)

    return write_and_load
