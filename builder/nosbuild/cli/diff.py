"""``nosbuild diff``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson

if TYPE_CHECKING:
    from nosbuild.report.diff import Change, VersionDiff

_DIGEST_DIGITS = 12
_FILES_SHOWN = 12
_COLORS = {"better": "green", "worse": "red", "": ""}


def diff(
    model: Annotated[
        str, typer.Argument(help="A model's folder, its name, or the folder of one version.")
    ],
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Numbers of the two versions; one is compared with the newest, none means the "
            "last two. After a version's folder: the folder of another, of any repository.",
            metavar="[VERSION]...",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[
        Path, typer.Option("--repository", "-r", help="Where a bare name is looked for.")
    ] = DEFAULT_REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Tell what changed between two versions: spec, variant, error, speed, files, libraries."""
    from nosbuild.report.compared import version_folders
    from nosbuild.report.diff import diff_versions

    found = diff_versions(*version_folders(model, versions or [], repository))
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(asdict(found))
        return
    _show(found)


def _show(found: VersionDiff) -> None:
    from rich.markup import escape

    from nosbuild.cli.printing import results, table

    names = [
        f"{model} {number}" for model, number in zip(found.models, found.versions, strict=True)
    ]
    if not found.changes:
        results().print(f"nothing differs between {names[0]} and {names[1]}")
    else:
        rows = table("", "", names[0], names[1], "")
        section = ""
        for change in _shortened(found.changes):
            heading = "" if change.section == section else f"[bold]{change.section}[/]"
            section = change.section
            rows.add_row(
                heading,
                escape(change.what),
                escape(_text(change, change.before)),
                escape(_text(change, change.after)),
                _verdict(change),
            )
        results().print(rows)
    for note in found.notes:
        results().print(f"[dim]{escape(note)}[/]", soft_wrap=True)


def _shortened(changes: tuple[Change, ...]) -> list[Change]:
    """Of many files, the first."""
    from dataclasses import replace

    files = [change for change in changes if change.section == "files"]
    left = len(files) - _FILES_SHOWN
    if left <= 0:
        return list(changes)
    hidden = files[_FILES_SHOWN:]
    rest = replace(hidden[0], what=f"and {left} more (--json tells all)", before="", after="")
    shown = [change for change in changes if change not in hidden]
    position = shown.index(files[_FILES_SHOWN - 1]) + 1
    return [*shown[:position], rest, *shown[position:]]


def _text(change: Change, value: Any) -> str:
    from nosbuild.report.units import byte_size, significant

    if value is None:
        return "-"
    if change.section == "files":
        return str(value)[:_DIGEST_DIGITS]
    if change.section == "size" or change.what == "memory_bytes":
        return byte_size(value)
    if change.section == "speed":
        return significant(value)
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value[:3]))}{' ...' if len(value) > 3 else ''}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _verdict(change: Change) -> str:
    from nosbuild.report.units import times

    said = [times(change.ratio)] if change.ratio is not None else []
    text = " ".join([*said, change.verdict]).strip()
    color = _COLORS[change.verdict]
    return f"[{color}]{text}[/]" if color else text
