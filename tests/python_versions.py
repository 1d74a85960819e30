"""Version folders of Python models put together by hand, and the worker that a build talks to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

import nosbuild.inside_triton.python_model as python_model
from nosbuild.inside_triton.python_model.nos_python_model.binding import (
    make_binding,
    write_binding,
)
from nosbuild.inside_triton.python_model.nos_python_model.wire import read_message, write_message
from nosbuild.tensors import DTYPES

ADAPTER = Path(python_model.__file__).parent


class Worker:
    """The worker of a version folder; what it asks other models is answered by ``models``."""

    def __init__(self, folder: Path, models: Any = None, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [python, "-I", str(ADAPTER / "worker.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._models = models
        self.asked: list[str] = []

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.stdout.close()  # type: ignore[union-attr]
        self.process.wait(60)

    def order(self, do: str, **order: Any) -> dict[str, Any]:
        """The whole answer: ``{"ok": ...}`` or ``{"error": ...}``."""
        write_message(self.process.stdin, {"do": do, **order})
        while True:
            answer = read_message(self.process.stdout)
            if answer.get("ask") != "model":
                return answer
            self.asked.append(answer["name"])
            write_message(self.process.stdin, self._models(answer))

    def ok(self, do: str, **order: Any) -> Any:
        answer = self.order(do, **order)
        assert "ok" in answer, answer
        return answer["ok"]


def lay_out(folder: Path, **source: str) -> Path:
    """A version folder without a binding; ``model=code`` becomes ``source/model.py``."""
    (folder / "source").mkdir(parents=True)
    for name, text in source.items():
        (folder / "source" / f"{name}.py").write_text(textwrap.dedent(text))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ADAPTER / "nos_python_model", folder / "nos_python_model", ignore=ignored)
    shutil.copy(ADAPTER / "model.py", folder)
    return folder


def described(
    folder: Path,
    reference: str = "model.py:Model",
    methods: tuple[str, ...] = ("__call__",),
    init: tuple[str, ...] = (),
    inputs: dict[str, str] | None = None,
    outputs: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What the worker says of the class."""
    with Worker(folder) as worker:
        return worker.ok(
            "describe",
            reference=reference,
            init=list(init),
            methods=list(methods),
            inputs=inputs or {},
            outputs=outputs or {},
        )


def bind(
    folder: Path,
    reference: str = "model.py:Model",
    method: str = "__call__",
    *,
    init: dict[str, Any] | None = None,
    inputs: dict[str, str] | None = None,
    outputs: dict[str, str] | None = None,
    batched: bool = True,
    pad: dict[str, Any] | None = None,
    models: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Describes the class, writes binding.json and returns the binding."""
    said = described(folder, reference, (method,), tuple(init or {}), inputs, outputs)
    assert "problems" not in said, said
    binding = make_binding(
        said,
        reference,
        method,
        init=init or {},
        batched=batched and not said["methods"][method]["streams"],
        pad=pad or {},
        models=models or {},
    )
    write_binding(folder, binding)
    return binding


def write_config(
    folder: Path, binding: dict[str, Any], *, max_batch_size: int = 8, more: str = ""
) -> None:
    """config.pbtxt beside the version folder; ``more`` is added as it is."""
    batched = binding["batched"]
    size = max_batch_size if batched else 0
    lines = [f'name: "{folder.parent.name}"', 'backend: "python"', f"max_batch_size: {size}"]
    for section in ("input", "output"):
        for entry in binding[f"{section}s"]:
            dims = [dim if isinstance(dim, int) else -1 for dim in entry["shape"]]
            if binding["takes"] == "batch" and not batched and not entry.get("option"):
                dims = [-1, *dims]
            fields = [
                f'name: "{entry["name"]}"',
                f"data_type: {DTYPES[entry['dtype']].config}",
                f"dims: {json.dumps(dims or [1])}",
            ]
            if not dims and batched:
                fields.append("reshape { }")
            if entry["name"] in binding["pad"] and section == "input":
                fields.append("allow_ragged_batch: true")
            if section == "input" and entry["optional"]:
                fields.append("optional: true")
            lines.append(f"{section} {{ {' '.join(fields)} }}")
    if binding["streams"]:
        lines.append("model_transaction_policy { decoupled: true }")
    if "instance_group" not in more:
        lines.append("instance_group { count: 1 kind: KIND_CPU }")
    (folder.parent / "config.pbtxt").write_text("\n".join([*lines, textwrap.dedent(more)]))


def model(repository: Path, name: str, code: str, more: str = "", **binding: Any) -> Path:
    """A whole model, ready to be served: ``repository/name/1`` and its config.pbtxt."""
    folder = lay_out(repository / name / "1", model=code)
    write_config(folder, bind(folder, **binding), more=more)
    return folder


def line_of(code: str, text: str, file: str = "model.py") -> str:
    """``model.py:12``: where the text stands in the code."""
    (line,) = [n for n, row in enumerate(code.splitlines(), start=1) if text in row]
    return f"{file}:{line}"


def strings(*items: str | bytes) -> np.ndarray:
    """A string tensor of one axis."""
    array = np.empty(len(items), dtype=object)
    array[:] = [item.encode() if isinstance(item, str) else item for item in items]
    return array
