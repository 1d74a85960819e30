"""How much faster the published variant is than fp32 ONNX and than PyTorch, on real models.

Builds three models of the gallery with every precision, in an empty cache, so that every step and
every measurement is made now. All variants of a model are measured in turns (A B A B) in one
process with the same threads; the ratios are medians over the rounds. The last line is JSON:

    {"minilm": {"over_onnx_fp32": 2.3, "over_torch": 4.1, "cosine_min": 0.991, ...}, ...}

Takes some minutes; wants a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import nosbuild
from nosbuild.cli.build_progress import BuildProgress
from nosbuild.steps import BuildResult

GALLERY = Path(__file__).resolve().parents[2] / "model_repository"
MODELS = ("minilm", "efficientnet_lite0", "ocr_recognize")


def main() -> None:
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NOSBUILD_CACHE"] = f"{scratch}/cache"
        for name in MODELS:
            progress = BuildProgress(explain=False)
            result = nosbuild.build(
                GALLERY / name, f"{scratch}/repository", precision="auto", progress=progress
            )
            progress.result(result)
            figures[name] = ratios(result)
    print(json.dumps(figures))


def ratios(result: BuildResult) -> dict[str, Any]:
    """Of the published variant; its interval; the worst of every bar."""
    over = result.measurement.over_baseline
    found: dict[str, Any] = {
        "published": result.variant,
        "over_onnx_fp32": round(over.value, 3) if over else 1.0,
        "interval": [round(over.low, 3), round(over.high, 3)] if over else [1.0, 1.0],
        "samples": result.report.samples,
    }
    source = result.variants[0]
    if source.verdict == "source" and source.speed and source.speed.over_baseline:
        found["over_torch"] = round(found["over_onnx_fp32"] / source.speed.over_baseline.value, 3)
    for finding in result.proof.findings:
        metric = finding.bar.partition(" ")[0]
        found["cosine_min" if metric == "cosine" else metric] = round(finding.value, 5)
    return found


if __name__ == "__main__":
    main()
