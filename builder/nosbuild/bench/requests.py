"""A running model goes in; requests for it come out: its golden samples, or random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nosbuild.errors import NosError, RequestError
from nosbuild.prove.published import PublishedVersion, published_versions
from nosbuild.prove.wire import request_of
from nosbuild.repository.layout import ModelFolder
from nosbuild.runtime.request_inputs import random_inputs_for

if TYPE_CHECKING:
    from nosclient import ModelInfo

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Requests:
    """Inputs to send in turn, and where they are from."""

    inputs: tuple[Arrays, ...]
    batch: int
    """Items in each."""
    origin: str
    """``32 golden samples``, ``random inputs (it has no golden samples)``."""
    real: bool
    """False for random ones."""


def requests_for(info: ModelInfo, repository: Path | None, batch: int) -> Requests:
    """Requests for a model.

    Args:
        info: of the running model.
        repository: of this machine, where the server serves from one.
        batch: items in each request.

    Raises:
        RequestError: the model takes no such batch, or is not called request by request.
    """
    _check(info, batch)
    published, why = _published(info, repository)
    if published is None:
        drawn = random_inputs_for(info, repository, batch)
        return Requests((drawn,), batch, f"random inputs ({why})", real=False)
    items = [request_of(published, index) for index in range(len(published.samples))]
    count = f"{len(items)} golden sample{'s' * (len(items) != 1)}"
    if batch == 1:
        return Requests(tuple(items), 1, count, real=True)
    joined = _joined(items, batch)
    return Requests(tuple(joined), batch, f"{count}, joined to batches of {batch}", real=True)


def _check(info: ModelInfo, batch: int) -> None:
    if info.decoupled:
        raise RequestError(
            f"{info.name} streams its answers: a request of it has no single latency",
            f"Try it with nosbuild run {info.name}; models with one answer can be measured.",
        )
    if info.sequence_batching:
        raise RequestError(
            f"{info.name} keeps a state: its requests belong to sequences, one after the other",
            "Measure a model whose requests stand alone.",
        )
    if batch > max(1, info.max_batch_size):
        takes = f"at most {info.max_batch_size} items" if info.max_batch_size else "no batches"
        most = max(1, info.max_batch_size)
        raise RequestError(
            f"{info.name} takes {takes} in one request, not {batch}",
            f"--batch {most}" + " is the most." * (most > 1) + ", or none." * (most == 1),
        )


def _published(info: ModelInfo, repository: Path | None) -> tuple[PublishedVersion | None, str]:
    """What the build left of the version that is served; or None and why."""
    if repository is None:
        return None, "the server's repository is not on this machine, or not known"
    folder = ModelFolder(repository / info.name)
    if not folder.config.is_file():
        return None, "its folder has no golden samples"
    try:
        versions = published_versions(folder, {})
    except NosError as error:
        return None, f"its golden samples cannot be read: {error.message}"
    served = {version.version: version for version in versions}
    newest = max((int(version) for version in info.versions), default=0)
    if newest not in served:
        return None, "it has no golden samples"
    return served[newest], ""


def _joined(items: Sequence[Arrays], batch: int) -> list[Arrays]:
    """Items of equal sizes side by side, in turn, so that each is in some batch."""
    groups: dict[Any, list[Arrays]] = {}
    for item in items:
        sizes = tuple(sorted((name, array.shape) for name, array in item.items()))
        groups.setdefault(sizes, []).append(item)
    batches = []
    for group in groups.values():
        for start in range(0, len(group), batch):
            rows = [group[(start + place) % len(group)] for place in range(batch)]
            batches.append({name: np.concatenate([r[name] for r in rows]) for name in rows[0]})
    return batches
