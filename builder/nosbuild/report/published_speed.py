"""A version folder goes in; how fast its published variant was when it was built comes out."""

from __future__ import annotations

import json
from pathlib import Path

from nosbuild.report.build_report import BuildReport
from nosbuild.repository.layout import REPORT
from nosbuild.verify.measure import Measurement


def published_speed(folder: Path) -> Measurement | str:
    """Of the published variant, or why it is not known, a clause.

    Versions of an older nosbuild hold its Measurement alone.
    """
    try:
        text = (folder / REPORT).read_text(encoding="utf-8")
        if "variants" not in json.loads(text):
            return Measurement.model_validate_json(text)
        report = BuildReport.model_validate_json(text)
    except OSError as exc:
        return f"the report cannot be read ({exc})"
    except (ValueError, TypeError):
        return f"{folder / REPORT} is no report of this nosbuild"
    speeds = [row.speed for row in report.variants if row.name == report.published]
    if not speeds or speeds[0] is None:
        return f"{folder} was not measured"
    return speeds[0]
