"""A template's name goes in; what renders it, and the style sheet of every page, come out."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from nosbuild.report.printable import printable

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup


@cache
def template(room: str, name: str) -> Template:
    """A page's template: what it prints is escaped, and made printable.

    Args:
        room: the package that it lies in.
        name: its file.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(room, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    return environment.get_template(name)


def style(more: str = "") -> tuple[Markup, str]:
    """The style sheet, and its digest for the content security policy.

    Args:
        more: rules of one page alone.
    """
    from markupsafe import Markup

    sheet = files("nosbuild.report").joinpath("page.css").read_text(encoding="utf-8") + more
    return Markup(sheet), base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()


def _printable(value: object) -> object:
    """Of what a template prints; what is marked as markup was made printable before."""
    return printable(value) if type(value) is str else value
