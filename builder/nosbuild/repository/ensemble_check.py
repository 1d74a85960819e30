"""An ensemble and its models go in; every difference from what was proven comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

from nosbuild.errors import RepositoryError
from nosbuild.export.pipeline_graph import PIPELINE_FILE, Called, Graph
from nosbuild.repository.calls import calls_of, newest_served
from nosbuild.repository.ensemble_config import set_ensemble
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.member import read_member


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was when the ensemble was proven."""

    message: str
    serious: bool
    """True where Triton would refuse it, or answer otherwise than was proven."""
    remedy: str = ""
    """Where something else helps than building it again."""


def ensemble_changes(folder: ModelFolder, config: Any, models: set[str]) -> Iterator[Change]:
    """Compare an ensemble that a build made, and its models, with what was proven.

    Args:
        folder: of the ensemble.
        config: its ModelConfig.
        models: names of those in the repository, built or not.
    """
    yield from missing_calls(folder, "the ensemble", calls_of(config, None), models)
    version = folder.version(newest_served(folder, config))
    if not (version / PIPELINE_FILE).is_file():
        return  # made by hand, or said already
    proven = model_config_pb2.ModelConfig()
    set_ensemble(proven, version)
    if proven.ensemble_scheduling != config.ensemble_scheduling:
        yield Change(f"its steps are not those of version {version.name}, which were proven", True)
    for name, proven_with in Graph.read(version).called.items():
        yield from called_changes(ModelFolder(folder.path.parent / name), proven_with)


def missing_calls(
    folder: ModelFolder, caller: str, names: Iterable[str], models: set[str]
) -> Iterator[Change]:
    """Models that are called, and not there or not built.

    Args:
        folder: of the caller.
        caller: in words: ``the ensemble``.
        names: of what it calls.
        models: names of those in the repository, built or not.
    """
    for name in names:
        called = ModelFolder(folder.path.parent / name)
        if name not in models:
            yield Change(
                f"{caller} calls {name!r}, which is not in the repository",
                True,
                f"Add it, or one of {', '.join(sorted(models))}.",
            )
        elif not called.is_built:
            found = f"{caller} calls {name!r}, which is not built"
            yield Change(found, True, f"nosbuild build {called.path}")


def called_changes(folder: ModelFolder, called: Called) -> Iterator[Change]:
    """What is not as it was of a model that another one was proven with.

    Args:
        folder: of the model that is called; one that is not built is said by ``missing_calls``.
        called: as it was.
    """
    if not folder.is_built:
        return  # said already
    try:
        member = read_member(folder)
    except RepositoryError as exc:
        yield Change(f"it calls {folder.name}, which cannot be read: {exc.message}", True)
        return
    shown = f"{member.name} version {member.version} ({member.variant})"
    if member.interface != called.interface:
        yield Change(
            f"it calls {shown}, whose inputs, outputs or largest batch are not those of the "
            f"{called.variant} that it was proven with",
            True,
        )
    elif member.digest != called.digest:
        yield Change(
            f"it calls {shown}, which is not the {called.variant} that it was proven with", False
        )
