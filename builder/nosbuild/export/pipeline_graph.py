"""A pipeline as Triton runs it: ``pipeline.json``, written and read back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

PIPELINE_FILE = "pipeline.json"


@dataclass(frozen=True)
class Stage:
    """A step as Triton runs it."""

    model: str
    inputs: dict[str, str]
    """The model's input -> the ensemble's tensor."""
    outputs: dict[str, str]
    """The model's output -> the ensemble's tensor."""


@dataclass(frozen=True)
class Called:
    """A model as it was when the pipeline was proven with it."""

    variant: str
    digest: str
    interface: str


@dataclass(frozen=True)
class Graph:
    """A pipeline as Triton runs it: what ``pipeline.json`` holds."""

    stages: tuple[Stage, ...]
    """Each after those whose tensors it takes."""
    decoupled: bool
    """A request has any number of answers, because one of the models gives so many."""
    called: dict[str, Called]
    """Every model that it calls."""

    def write(self, folder: Path) -> None:
        """``folder/pipeline.json``."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (folder / PIPELINE_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Graph:
        """Read it back."""
        written = json.loads((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
        return cls(
            tuple(Stage(**stage) for stage in written["stages"]),
            written["decoupled"],
            {name: Called(**called) for name, called in written["called"].items()},
        )
