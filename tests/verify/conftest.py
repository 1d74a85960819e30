from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nosbuild.export.run import export_onnx
from nosbuild.plan import RunsOn
from nosbuild.source.load import load_source
from nosbuild.spec import ModelSpec
from nosbuild.verify.proof import Proof
from nosbuild.verify.references import collect_references, read_references
from nosbuild.verify.run import prove
from nosbuild.verify.runner import open_runner


@pytest.fixture
def proven(tmp_path: Path) -> Callable[..., Proof]:
    """Exports a spec and proves the export; ``artifact_of`` exports another spec instead."""

    def run(spec: ModelSpec, artifact_of: ModelSpec | None = None) -> Proof:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        export_onnx(artifact_of or spec, out)
        answers = tmp_path / "references"
        shutil.rmtree(answers, ignore_errors=True)
        collect_references(spec, answers)
        _, complete = load_source(spec)
        return prove(
            complete, open_runner(out, RunsOn()), out, "onnx-fp32", read_references(answers)
        )

    return run
