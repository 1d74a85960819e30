from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

GALLERY = Path(__file__).resolve().parents[2] / "model_repository"


def load(model: str, module: str) -> ModuleType:
    """Import model_repository/<model>/<module>.py afresh, its neighbours importable."""
    file = GALLERY / model / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"gallery_{model}_{module}", file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(file.parent))
    return loaded


@pytest.fixture(scope="session")
def task() -> Callable[[str, str], ModuleType]:
    return load
