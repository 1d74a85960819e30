"""A version folder with a Python model goes in; what answers requests as Triton would comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused
from nosbuild.source.python_class import PythonClass
from nosbuild.source.python_worker import ModelCalls, Raised

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays


class PythonRunner:
    """The adapter's own code, in the model's environment; close it."""

    def __init__(
        self, folder: Path, calls: ModelCalls | None = None, *, device: str = "cpu"
    ) -> None:
        """Start it.

        Args:
            folder: of a version.
            calls: answers the class's calls of other models.
            device: what a class is told that asks for it.

        Raises:
            SourceError: the class cannot be made.
            HostError: its environment cannot be made here.
        """
        self._source = PythonClass(folder, calls, device=device)
        self._reference = self._source.binding["reference"]

    def run(self, inputs: Arrays) -> Any:
        """Every output, under its name; of a model that streams, a list of chunks.

        Raises:
            Refused: the method raised.
        """
        (answer,) = self._source.adapted([inputs])
        if isinstance(answer, Raised):
            raise Refused(f"{self._reference}: {answer}", "Mend the method, or what it is given.")
        return answer

    def close(self) -> None:
        """End it; again is harmless."""
        self._source.close()
