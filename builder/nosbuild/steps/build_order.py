"""Model folders to build go in; the same, each after those that it calls, come out.

What they call and nobody has built yet is built as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from nosbuild.errors import SpecError
from nosbuild.spec import ModelSpec, load_spec
from nosbuild.spec.called_models import called_models, model_of
from nosbuild.steps.members import unbuilt_members


@dataclass(frozen=True)
class ToBuild:
    """A model to build."""

    folder: Path
    """As it was given: a model's folder, or its model.yaml."""
    needed_by: str = ""
    """The model that calls it, where nobody asked for it by name."""


def build_order(folders: Iterable[Path], repository: Path | None = None) -> list[ToBuild]:
    """The models in an order in which each can be built.

    Args:
        folders: those asked for; one whose model.yaml is broken keeps its place, its build says
            why.
        repository: where they are published; None for the folder that holds each.
    """
    wanted = {path: ToBuild(path) for path in folders}
    specs: dict[Path, ModelSpec] = {}
    waiting = list(wanted)
    while waiting:
        path = waiting.pop(0)
        spec = _spec(path)
        if spec is None:
            continue
        specs[path] = spec
        known = {other.resolve() for other in wanted}
        for folder in unbuilt_members(spec, repository or spec.folder.parent).values():
            if not {folder.resolve(), (folder / "model.yaml").resolve()} & known:
                wanted[folder] = ToBuild(folder, spec.name)
                waiting.append(folder)
    return [wanted[path] for path in _sorted(list(wanted), specs, repository)]


def _spec(path: Path) -> ModelSpec | None:
    try:
        return load_spec(path)
    except SpecError:
        return None


def _sorted(
    paths: Sequence[Path], specs: dict[Path, ModelSpec], repository: Path | None
) -> Sequence[Path]:
    """In the order given, but for what must come before."""
    places = {
        ((repository or spec.folder.parent).resolve(), spec.name): path
        for path, spec in specs.items()
    }
    graph: TopologicalSorter[Path] = TopologicalSorter()
    for path in paths:
        graph.add(path)
        for name in called_models(specs[path]) if path in specs else ():
            home = (repository or specs[path].folder.parent).resolve()
            owners = [places[home, owner] for owner in model_of(name) if (home, owner) in places]
            graph.add(path, *(owner for owner in owners[:1] if owner != path))
    try:
        return list(graph.static_order())
    except CycleError:  # classes may call each other: none can come first
        return paths
