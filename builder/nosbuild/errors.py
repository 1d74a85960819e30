"""Every error nosbuild raises on purpose; each says what was found, where, and what to do.

NosError                    the root; never raised itself
+-- InputError      exit 3  the user's material is wrong; changing it helps
|   +-- SpecError           model.yaml: file, line, key
|   +-- SourceError         the model itself: missing, raises, returns something else
|   +-- SampleError         the samples: wrong names, shapes, dtypes
|   +-- ExportError         the model cannot take what the spec declares
|   +-- RepositoryError     a Triton repository that cannot be served as it is
|   +-- RequestError        what was sent to a running server
+-- Refused         exit 4  built, but not proven: nothing is published
+-- HostError       exit 5  this machine lacks something: a package, a port, space, a right
+-- InternalError   exit 1  a bug in nosbuild
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class NosError(Exception):
    """Root of the tree.

    Attributes:
        message: what was found and where, one sentence or a few lines.
        remedy: what the user can do about it; may be empty where nothing helps.
        exit_code: what the command line ends with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class InputError(NosError):
    """The user's material is wrong; changing it helps."""

    exit_code = 3


@dataclass(frozen=True)
class SpecProblem:
    """One thing wrong in a model.yaml."""

    key: str
    """Dotted path of the key, e.g. ``dims.batch``; empty for the file as a whole."""
    found: str
    """What stands there, and why it cannot be."""
    remedy: str
    """What to write instead."""
    line: int | None = None
    """1-based line, where known."""


class SpecError(InputError):
    """A model.yaml that cannot be read as a ModelSpec; holds every problem found, not the first."""

    def __init__(self, file: Path | str, problems: list[SpecProblem]) -> None:
        self.file = str(file)
        self.problems = tuple(problems)
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        lines = []
        file = _as_typed(self.file)
        for problem in self.problems:
            where = f"{file}:{problem.line}" if problem.line else file
            key = f"{problem.key}: " if problem.key else ""
            lines.append(f"{where}: {key}{problem.found}")
            lines.append(f"  {problem.remedy}")
        return lines


def _as_typed(file: str) -> str:
    """Relative to the current directory where it lies in it: as the user would name it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


class SourceError(InputError):
    """The model itself is missing, raises, or is not what the spec says."""


class SampleError(InputError):
    """Samples with wrong names, shapes or dtypes, or a sample function that raises."""


class ExportError(InputError):
    """The model cannot be exported as the spec declares it."""


class RepositoryError(InputError):
    """A Triton model repository that cannot be served as it is."""


class RequestError(InputError):
    """Input for a running server that does not fit the model, or a model that is not there."""


class Refused(NosError):
    """A model that could not be proven; nothing was published and nothing was changed."""

    exit_code = 4


class HostError(NosError):
    """This machine lacks something: a package, a free port, disk space, a permission."""

    exit_code = 5


class InternalError(NosError):
    """A bug in nosbuild."""


def error_classes() -> dict[str, type[NosError]]:
    """Name -> class for every leaf a child process may report back to its parent."""
    leaves: list[type[NosError]] = [
        SourceError,
        SampleError,
        ExportError,
        RepositoryError,
        RequestError,
        InputError,
        Refused,
        HostError,
        InternalError,
    ]
    return {leaf.__name__: leaf for leaf in leaves}
