"""A report goes in; ``report.html`` beside the model comes out, unless it already says so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.report.page import render
from nosbuild.repository.layout import PAGE
from nosbuild.store.host_errors import host_errors

if TYPE_CHECKING:
    from nosbuild.report.build_report import BuildReport


def write_page(folder: Path, report: BuildReport, version: int) -> Path:
    """Write the page of a published version.

    Raises:
        HostError: no space, or no right to write there.
    """
    path = folder / PAGE
    page = render(report, version).encode()
    if path.is_file() and path.read_bytes() == page:
        return path
    with (
        host_errors(f"{path} could not be written", "Change the rights of that folder."),
        tempfile.TemporaryDirectory(prefix=".page-", dir=folder) as staging,
    ):
        written = Path(staging) / PAGE
        written.write_bytes(page)
        written.replace(path)
    return path
