"""A folder and a kind of source go in; a commented model.yaml to edit comes out."""

from __future__ import annotations

from pathlib import Path

from nosbuild.errors import HostError, InputError
from nosbuild.spec.loading import FILE_NAME
from nosbuild.spec.python_class import classes_in
from nosbuild.spec.templates import template

_CODE_NAME = "model.py"
_EXAMPLE = Path(__file__).with_name("summary_example.py")


def start_model(folder: Path, source_kind: str) -> Path:
    """Write ``folder/model.yaml``; the model bears the folder's name.

    A python model gets a ``model.py`` too, or is the first class of the one that is there.

    Raises:
        InputError: there is a model.yaml already (it is left alone), no such kind of source, or a
            ``model.py`` without a class.
        HostError: the folder cannot be written.
    """
    file = folder / FILE_NAME
    name = folder.resolve().name
    code = ""
    text = template(name, source_kind)
    if source_kind == "python":
        if (folder / _CODE_NAME).exists():
            text = template(name, source_kind, _first_class(folder / _CODE_NAME))
        else:
            code = _EXAMPLE.read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
        if code:
            (folder / _CODE_NAME).write_text(code, encoding="utf-8")
    except FileExistsError as exc:
        raise InputError(
            f"{exc.filename} exists already", "Edit it, or choose another name."
        ) from exc
    except OSError as exc:
        raise HostError(
            f"{file} cannot be written: {exc.strerror}", "Choose a folder that you may write to."
        ) from exc
    return file


def _first_class(file: Path) -> str:
    classes = classes_in(file)
    if not classes:
        raise InputError(
            f"{file} has no class",
            "Write the class to serve into it, or move it away to get an example.",
        )
    return classes[0]
