"""``file.py:callable`` and ``package:path`` go in; the callable or the path they name comes out."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from nosbuild.errors import InputError, SourceError

Result = TypeVar("Result")


def load_callable(reference: str, folder: Path, error: type[InputError] = SourceError) -> Any:
    """Import what ``file.py:name`` or ``module.path:name`` names.

    Files are looked up in ``folder`` and imported under a name that no package has, so that a
    user's ``model.py`` never shadows one of ours. While importing and in ``call``, ``folder`` is
    importable, so that files of one model can import each other. The name may be dotted
    (``Model.create``).

    Args:
        reference: as in the spec.
        folder: the model's folder.
        error: what to raise, so that the caller's room names the trouble.
    """
    location, _, name = reference.rpartition(":")
    try:
        module = _import(location, folder)
    except Exception as exc:
        raise error(
            f"{location} could not be imported: {_last_frame(exc, folder)}",
            _import_remedy(exc, location),
        ) from exc
    try:
        return attrgetter(name)(module)
    except AttributeError as exc:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise error(
            f"{location} has no {name!r}",
            f"It defines: {', '.join(sorted(public)) or 'nothing'}. Name one of those.",
        ) from exc


def call(
    function: Callable[..., Result],
    what: str,
    folder: Path,
    error: type[InputError] = SourceError,
    **arguments: Any,
) -> Result:
    """Call the user's code; what it raises becomes ``error`` with the line that raised it."""
    try:
        with _Importable(folder):
            return function(**arguments)
    except InputError:
        raise
    except Exception as exc:
        traceback.print_exc()
        raise error(
            f"{what} raised {_last_frame(exc, folder)}",
            "Run it alone in Python to see the whole traceback.",
        ) from exc


def _import(location: str, folder: Path) -> ModuleType:
    if not location.endswith(".py"):
        with _Importable(folder):
            return importlib.import_module(location)
    file = folder / location
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    name = f"_nosbuild_user_{file.stem}_{digest}"  # a file has one module, no two share one
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _Importable(folder):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Importable:
    """The model's folder stands last on ``sys.path`` for a while: its files import each other."""

    def __init__(self, folder: Path) -> None:
        self.entry = str(folder)

    def __enter__(self) -> None:
        sys.path.append(self.entry)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self.entry)


def _last_frame(exc: BaseException, folder: Path) -> str:
    """``ValueError: no such file (model.py:12)``: the last line of the user's own code."""
    where = ""
    for frame in traceback.extract_tb(exc.__traceback__):
        if Path(frame.filename).is_relative_to(folder):
            where = f" ({Path(frame.filename).name}:{frame.lineno})"
    return f"{type(exc).__name__}: {exc}{where}"


def _import_remedy(exc: BaseException, location: str) -> str:
    if isinstance(exc, ModuleNotFoundError) and exc.name and exc.name != location:
        return (
            f"Install the package that holds {exc.name!r} beside nosbuild (see build_requirements)."
        )
    return "Import it alone in Python to see the whole traceback."


def resolve_path(reference: str, folder: Path) -> Path:
    """The file or folder that ``relative/path`` or ``package:path/inside`` names.

    Raises:
        SourceError: the package is not installed, or nothing is there.
    """
    package, colon, inside = reference.partition(":")
    if not colon:
        path = (folder / reference).resolve()
        if not path.exists():
            raise SourceError(
                f"source: {path} does not exist",
                "Paths are relative to the model.yaml; package:path names a file of a package.",
            )
        return path
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SourceError(
            f"source: the package {package!r} of {reference!r} is not installed",
            "Install it beside nosbuild (see build_requirements in the model.yaml).",
        )
    path = Path(next(iter(found.submodule_search_locations))) / inside
    if not path.exists():
        raise SourceError(
            f"source: the package {package!r} has no {inside!r}",
            f"Look inside {path.parent}.",
        )
    return path
