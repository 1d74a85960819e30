"""What is wrong with a user's class, as a build shows it: where, what, and the remedy."""

import traceback
from pathlib import Path


class Problem(Exception):
    """One thing that is wrong with the user's class.

    Args:
        where: ``model.py:12``.
        found: what is there.
        remedy: what to do about it.
    """

    def __init__(self, where, found, remedy):
        super().__init__(f"{where}: {found}; {remedy}")
        self.where, self.found, self.remedy = where, found, remedy

    def as_json(self):
        return {"where": self.where, "found": self.found, "remedy": self.remedy}


def location(folder, file, line):
    """``model.py:12``; the whole path for a file outside of the folder."""
    path = Path(file)
    try:
        shown = path.resolve().relative_to(Path(folder).resolve())
    except ValueError:
        shown = path
    return f"{shown}:{line}"


def raised_at(error, folder):
    """The deepest line of the user's own code in the traceback; empty where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return location(folder, error.filename, error.lineno)
    root = Path(folder).resolve()
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if root in Path(frame.filename).resolve().parents:
            where = location(folder, frame.filename, frame.lineno)
    return where


def said(error):
    """The error's own message."""
    try:
        return str(error)
    except BaseException as failed:  # noqa: BLE001 - the user's own __str__
        return f"(no message: its __str__ raises {type(failed).__name__})"


def shown(error):
    """``ValueError: no such word``; the type alone where it says nothing."""
    text = said(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
