"""A JSON file of a model goes in; its content comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nosbuild.errors import SourceError


def read_json(path: Path) -> Any:
    """The content; an empty dict where there is no such file.

    Raises:
        SourceError: it is no JSON.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise SourceError(
            f"source.huggingface: {path} is no JSON: {exc}",
            "Save or download the model again.",
        ) from exc
