"""``model.py:Summary`` and the folder of the user's files go in; the class comes out."""

import importlib
import sys
from pathlib import Path

from nos_python_model.problems import Problem, raised_at, shown

_PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages whose modules have another name."""


def load_class(folder, reference):
    """Import the user's file as a module of its own name, with its folder first on ``sys.path``.

    The folder stays there: the user's files may import each other at any time.

    Raises:
        Problem: no such file, an import that raises, or no such class; with the line at fault.
    """
    place, _, name = reference.rpartition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = _module(Path(folder), place)
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        return found
    classes = [key for key, value in vars(module).items() if isinstance(value, type)]
    own = [key for key in classes if getattr(module, key).__module__ == module.__name__]
    what = "has no class" if found is None else "names no class:"
    raise Problem(
        place,
        f"{what} {name!r}",
        f"name one of its classes: {', '.join(own)}" if own else "write the class there",
    )


def _module(folder, place):
    name = place
    if place.endswith(".py"):
        file = folder / place
        if not file.is_file():
            raise Problem(place, "does not exist", "source.python is relative to the model.yaml")
        if str(file.parent) not in sys.path:
            sys.path.insert(1, str(file.parent))
        name = file.stem
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Problem(
            raised_at(error, folder) or place,
            f"could not be imported: {shown(error)}",
            _remedy(error, folder),
        ) from error
    if place.endswith(".py") and Path(module.__file__ or "").resolve() != file.resolve():
        raise Problem(
            place,
            f"has the name of a module that is already imported, {module.__file__}",
            "give the file another name",
        )
    return module


def _remedy(error, folder):
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.split(".")[0]
        if not (folder / top).is_dir() and not (folder / f"{top}.py").is_file():
            package = _PACKAGES.get(top, f"the package that holds {top!r}")
            return f"add {package} to requirements in the model.yaml"
    return "correct that line; `python -c 'import ...'` in the folder shows the whole traceback"
