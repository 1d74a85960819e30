"""A model's folder and what is published of it go in; a candidate that Triton can load comes out.

The candidate is a model of another name in the server's second repository: a config.pbtxt of its
own, and links to everything else of the model's folder.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.repository.config import write_text
from nosbuild.repository.layout import CONFIG, STUB, ModelFolder
from nosbuild.runtime.served_files import Snapshot
from nosbuild.store.host_errors import cache_errors

MARK = ".candidate-"
"""Between the model's name and what tells this candidate from others: one whose worker has ended
may never be unloaded, and would stand in the way of the next one."""


@dataclass(frozen=True)
class Candidate:
    """A model on trial."""

    model: str
    """Whose it is."""
    name: str
    """Under which the server knows it."""

    def as_model(self, text: str) -> str:
        """A text about the candidate, as one about the model."""
        return text.replace(self.name, self.model)


@contextmanager
def candidate_of(folder: ModelFolder, published: Snapshot, models: Path) -> Iterator[Candidate]:
    """Lay out a candidate, which is removed in the end.

    Args:
        folder: of the model.
        published: what its config.pbtxt says.
        models: the server's second repository.

    Raises:
        HostError: the cache folder cannot be written.
    """
    found = Candidate(folder.name, f"{folder.name}{MARK}{secrets.token_hex(2)}")
    place = models / found.name
    try:
        with cache_errors():
            place.mkdir()
            for entry in folder.path.iterdir():
                # The stub is that of the Python that the served versions want.
                if entry.name not in (CONFIG, STUB) and not entry.name.startswith("."):
                    (place / entry.name).symlink_to(entry)
            (place / CONFIG).write_text(write_text(_config(published.parsed(), found.name)))
        yield found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def abandoned(models: Path) -> list[str]:
    """Candidates that whoever tried them out has left, killed in the middle."""
    return [place.name for place in models.iterdir()]


def _config(config: Any, name: str) -> Any:
    """One instance of the model, which answers every request itself.

    It is not warmed up: Triton 2.51 itself crashes where a worker process ends over that. Its
    golden samples do so, and what ends over one of them is refused.
    """
    config.name = name
    config.ClearField("model_warmup")
    config.ClearField("response_cache")
    del config.instance_group[1:]
    for group in config.instance_group:
        group.count = 1
        del group.gpus[1:]
    return config
