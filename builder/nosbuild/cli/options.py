"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_REPOSITORY = Path("model_repository")

Repository = Annotated[
    Path,
    typer.Argument(help="Triton model repository: a folder that holds one folder a model."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
