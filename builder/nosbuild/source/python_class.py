"""A version folder with a user's class goes in; the class, ready to be called, comes out.

It answers two ways: *direct*, the method called plainly on one item, which is the reference; and
*adapted*, requests through the code that Triton runs, which is what is proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.model_environment import model_environment
from nosbuild.errors import Refused, SourceError
from nosbuild.inside_triton.python_model.nos_python_model import binding as bindings
from nosbuild.inside_triton.python_model.nos_python_model import filling
from nosbuild.source.python_worker import ModelCalls, PythonWorker, Raised
from nosbuild.source.texts import as_text
from nosbuild.spec.padding import padded_outputs
from nosbuild.tensors import BATCH, DTYPES, Dim, TensorSpec

if TYPE_CHECKING:
    from nosbuild.source.loaded import Arrays

    Answer = Arrays | list[Arrays]
    """Outputs by name; of a method that streams, those of every chunk."""

BINDING_FILE = bindings.FILE
ENVIRONMENT_FILE = "environment.json"
"""In a version folder: the environment that the class was proven in, as it is locked."""
ROWS = "rows"
"""First axis of whatever a method that takes batches is given, where Triton does not batch."""


class PythonClass:
    """One method of a user's class, in its own Python; a context manager, and a LoadedSource."""

    def __init__(
        self, folder: Path, calls: ModelCalls | None = None, *, device: str = "cpu"
    ) -> None:
        """Make the object.

        Args:
            folder: of a version.
            calls: answers the class's calls of other models.
            device: what a class is told that asks for it.

        Raises:
            SourceError: ``__init__`` raises.
            Refused: its process ended.
            InputError, HostError: its environment cannot be made here.
        """
        self.binding = read_binding(folder)
        self.inputs, self.outputs = bound_tensors(self.binding)
        self.default_dims: dict[str, str] = {}
        self.streams: bool = self.binding["streams"]
        file = folder / ENVIRONMENT_FILE
        locked = LockedEnvironment.from_json(
            json.loads(file.read_text(encoding="utf-8")), str(file)
        )
        self._worker = PythonWorker(folder, model_environment(locked, _silent), calls)
        try:
            self._worker.ask("construct", device=device)
        except Raised as exc:
            self._worker.end()
            raise SourceError(
                f"source.python: {self.binding['reference']} cannot be constructed: {exc}",
                "Correct that line, or source.init in the model.yaml.",
            ) from exc

    @property
    def pid(self) -> int:
        """Of the class's process."""
        return self._worker.pid

    def direct(self, item: Arrays) -> Answer:
        """The method called plainly.

        Args:
            item: without the batch axis.

        Raises:
            Raised: the method did.
            Refused: its process ended.
        """
        answer: Answer = _texts(self._worker.ask("direct", inputs=item))
        return answer

    def adapted(self, requests: Sequence[Arrays]) -> list[Answer | Raised]:
        """Requests that arrive together, through the adapter; what raised is answered so.

        Args:
            requests: with the batch axis, where Triton batches.

        Raises:
            Refused: its process ended.
        """
        answers = self._worker.ask("adapted", requests=list(requests))
        return [
            Raised(answer["error"]) if "error" in answer else _texts(answer["outputs"])
            for answer in answers
        ]

    def run(self, inputs: Arrays) -> Any:
        """Every item called plainly; of a method that streams, a list of chunks.

        Raises:
            Raised: the method did.
            Refused: items of one shape are answered in several, so that they are no batch.
        """
        if not all(tensor.is_batched for tensor in self.inputs):
            return self.direct(inputs)
        count = len(next(iter(inputs.values())))
        rows = [self.direct({k: a[row, ...] for k, a in inputs.items()}) for row in range(count)]
        try:
            return {t.name: self._stacked(t, [_outputs(row) for row in rows]) for t in self.outputs}
        except ValueError as exc:
            raise Refused(
                f"{self.binding['reference']} answers items of one shape in several shapes, so "
                f"that they are no batch: {exc}",
                "Send such items one by one.",
            ) from exc

    def _stacked(self, tensor: TensorSpec, rows: Sequence[Arrays]) -> np.ndarray:
        """As one batch; ValueError where their sizes differ and nothing fills them up."""
        arrays = [row[tensor.name] for row in rows]
        if tensor.name not in padded_outputs(self.binding["pad"], [tensor]):
            return np.stack(arrays)
        stacked: Any = filling.stacked
        whole: np.ndarray = stacked(arrays, self.binding["pad"][tensor.name])
        return whole

    def run_precise(self, inputs: Arrays) -> Arrays | None:
        """None: a class computes as it computes."""
        return None

    def use_threads(self, count: int) -> None:
        """Nothing: its threads are its own."""

    def close(self) -> None:
        """End it; again is harmless.

        Raises:
            SourceError: the class's ``close()`` raises.
        """
        try:
            self._worker.close()
        except Raised as exc:
            raise SourceError(
                f"source.python: close() of {self.binding['reference']} raised {exc}",
                "Correct that line: it is called when Triton unloads the model.",
            ) from exc

    def __enter__(self) -> PythonClass:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._worker.end()


def read_binding(folder: Path) -> dict[str, Any]:
    """What a version folder says of its method (``nos_python_model/binding.py``)."""
    read: Any = bindings.read_binding
    found: dict[str, Any] = read(folder)
    return found


def bound_tensors(
    binding: Mapping[str, Any],
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of a method as Triton has them."""
    outer: tuple[Dim, ...] = (BATCH,) if binding["batched"] else ()
    whole: tuple[Dim, ...] = (
        (ROWS,) if binding["takes"] == "batch" and not binding["batched"] else ()
    )

    def tensor(row: Mapping[str, Any]) -> TensorSpec:
        first = () if row.get("option") else whole
        return TensorSpec(
            row["name"],
            DTYPES[row["dtype"]],
            (*outer, *first, *row["shape"]),
            optional=bool(row.get("optional")),
        )

    return tuple(map(tensor, binding["inputs"])), tuple(map(tensor, binding["outputs"]))


def _texts(answer: Any) -> Any:
    """Text where bytes are text: as samples have it, and golden files."""
    if isinstance(answer, dict):
        return {name: as_text(array) for name, array in answer.items()}
    return [_texts(chunk) for chunk in answer]


def _outputs(answer: Answer) -> Arrays:
    assert isinstance(answer, dict)
    return answer


def _silent(_: str) -> None:
    return
