"""A folder and a kind of source go in; a commented model.yaml to edit comes out."""

from __future__ import annotations

from pathlib import Path

from nosbuild.errors import HostError, InputError
from nosbuild.spec.loading import FILE_NAME
from nosbuild.spec.templates import template


def start_model(folder: Path, source_kind: str) -> Path:
    """Write ``folder/model.yaml``; the model bears the folder's name.

    Raises:
        InputError: there is one already (it is left alone), or no such kind of source.
        HostError: the folder cannot be written.
    """
    file = folder / FILE_NAME
    text = template(folder.resolve().name, source_kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as exc:
        raise InputError(
            f"{exc.filename} exists already", "Edit it, or choose another name."
        ) from exc
    except OSError as exc:
        raise HostError(
            f"{file} cannot be written: {exc.strerror}", "Choose a folder that you may write to."
        ) from exc
    return file
