"""A model of the gallery goes in; a folder of the user's own, ready to build, comes out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from nosbuild.errors import SpecError
from nosbuild.hub.catalogue import find, folders
from nosbuild.spec.called_models import called_models, model_of
from nosbuild.store.host_errors import host_errors

CARRIED = ("model.yaml", "*.py", "*.txt")
"""What makes up a model; anything else in its folder was built."""


def copy_to(name: str, repository: Path) -> Path:
    """Copy a model's spec and code to ``repository/<name>``.

    A folder that is there already is left as it is: it may hold the user's changes. The copy
    appears as a whole or not at all. The models that it calls are copied as well.

    Returns:
        The folder ``repository/<name>``.

    Raises:
        SourceError: the gallery has no such model.
        HostError: the repository cannot be written.
    """
    target = _copy(name, repository)
    copied, waiting = {name}, [target]
    while waiting:
        for called in _called_by(waiting.pop()):
            owner = _owner(called)
            if owner not in copied:
                copied.add(owner)
                waiting.append(_copy(owner, repository))
    return target


def _called_by(folder: Path) -> list[str]:
    from nosbuild.spec import load_spec  # pydantic is slow to import; --help must not wait for it

    try:
        return list(called_models(load_spec(folder)))
    except SpecError:
        return []  # of the user's own; its build says what is wrong with it


def _owner(called: str) -> str:
    """The gallery's name of a model: of another method of a class, that of the class."""
    names = {folder.name for folder in folders()}
    return next((name for name in model_of(called) if name in names), called)


def _copy(name: str, repository: Path) -> Path:
    model = find(name)
    target = repository / model.name
    if target.is_dir():
        return target
    with host_errors(
        f"{model.name} cannot be copied to {target}",
        "Choose a repository that you may write to.",
    ):
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hub-", dir=repository) as scratch:
            staged = Path(scratch) / model.name
            staged.mkdir()
            for pattern in CARRIED:
                for file in model.folder.glob(pattern):
                    shutil.copyfile(file, staged / file.name)
            _publish(staged, target)
    return target


def _publish(staged: Path, target: Path) -> None:
    """Rename, unless another process was faster."""
    try:
        staged.rename(target)
    except OSError:
        if not (target / "model.yaml").is_file():
            raise
