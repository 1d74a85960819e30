from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nosbuild.export.run import export_onnx
from nosbuild.spec import ModelSpec
from nosbuild.verify.proof import Proof
from nosbuild.verify.run import prove


@pytest.fixture
def proven(tmp_path: Path) -> Callable[..., Proof]:
    """Exports a spec and proves the export; ``artifact_of`` exports another spec instead."""

    def run(spec: ModelSpec, artifact_of: ModelSpec | None = None) -> Proof:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        export_onnx(artifact_of or spec, out)
        return prove(spec, out / "model.onnx", "onnx-fp32", tmp_path / "proof")

    return run
