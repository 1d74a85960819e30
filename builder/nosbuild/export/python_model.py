"""A user's class goes in; a Triton model of each of its methods, ready to be proven, comes out.

<out>/<position of the method>/
    model.py  nos_python_model/     the adapter, as it is here
    binding.json                    which method of which class, and what it takes and gives
    environment.json                the environment, as it is locked
    source/                         every file of the user's
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.environments.model_environment import Environment, model_environment
from nosbuild.errors import SourceError
from nosbuild.inside_triton.python_model.nos_python_model import binding as bindings
from nosbuild.source.python_class import ENVIRONMENT_FILE, bound_tensors
from nosbuild.source.python_worker import WORKER, PythonWorker, Raised
from nosbuild.spec.padding import pad_findings
from nosbuild.spec.problems import did_you_mean
from nosbuild.tensors import DTYPES, TensorSpec

if TYPE_CHECKING:
    from nosbuild.environments.locked import LockedEnvironment
    from nosbuild.spec import ModelSpec

SOURCE = "source"
_ADAPTER = WORKER.parent
_MODULES = "nos_python_model"


def package(
    spec: ModelSpec,
    out: Path,
    files: Sequence[str],
    locked: LockedEnvironment,
    members: Mapping[str, Any],
) -> dict[str, Any]:
    """Lay out a version folder for every method of the spec, and say what each takes and gives.

    Args:
        spec: whose source is a Python class.
        out: the folder to write into.
        files: the user's, relative to the model's folder.
        locked: the environment that the class runs in.
        members: the models that it calls, as ``binding.json`` describes them.

    Returns:
        ``class``; ``device``, whether it asks for one; ``methods``: name -> ``folder``, ``inputs``
        and ``outputs`` (name, declaration, range, optional), ``streams``, ``takes``, ``images``
        (inputs that hold the file of an image).

    Raises:
        SourceError: the class cannot be served as it is; all that is wrong with it, with lines.
        SpecError: the model.yaml speaks of inputs that it does not have.
        Refused: the process ended while the class was imported.
    """
    first = out / "0"
    _write_source(spec.folder, files, first / SOURCE)
    _write_adapter(first)
    (first / ENVIRONMENT_FILE).write_text(json.dumps(locked.as_json(), indent=1), encoding="utf-8")
    described = _described(spec, first, model_environment(locked, _silent))
    _check_pad(spec, described)
    for position in range(1, len(spec.methods)):
        shutil.copytree(first, out / str(position), copy_function=_same)
    methods = {}
    for position, method in enumerate(spec.methods):
        folder = out / str(position)
        binding = _binding(spec, described, method, members)
        write: Any = bindings.write_binding
        write(folder, binding)
        methods[method] = {
            "folder": folder.name,
            **_tensors(spec, binding),
            "streams": binding["streams"],
            "takes": binding["takes"],
            "images": [row["name"] for row in binding["inputs"] if "image" in row["kind"]],
        }
    return {"class": described["class"], "device": described["init"]["device"], "methods": methods}


def _write_source(folder: Path, files: Sequence[str], source: Path) -> None:
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, source / name)


def _write_adapter(version: Path) -> None:
    shutil.copyfile(_ADAPTER / "model.py", version / "model.py")
    (version / _MODULES).mkdir()
    for file in sorted((_ADAPTER / _MODULES).glob("*.py")):
        shutil.copyfile(file, version / _MODULES / file.name)


def _same(source: str, target: str) -> None:
    """The same file under another name, where the disk can: weights may be large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _described(spec: ModelSpec, version: Path, environment: Environment) -> dict[str, Any]:
    try:
        with PythonWorker(version, environment) as worker:
            described: dict[str, Any] = worker.ask(
                "describe",
                reference=spec.source.reference,
                init=list(spec.source.init),
                methods=list(spec.methods),
                inputs=_declared(spec.input_tensors),
                outputs=_declared(spec.output_tensors),
            )
    except Raised as exc:
        raise SourceError(
            f"source.python: {spec.source.reference}: {exc}",
            "Import it alone in Python to see the whole traceback.",
        ) from exc
    if problems := described.get("problems"):
        lines = [f"{_place(spec, row['where'])}: {row['found']}" for row in problems]
        remedies = dict.fromkeys(_sentence(row["remedy"]) for row in problems)
        raise SourceError("\n".join(lines), "\n".join(remedies))
    return described


def _place(spec: ModelSpec, where: str) -> str:
    """``model.py:12`` with the folder of the model, where it is one of its files."""
    file = spec.folder / where.partition(":")[0]
    return str(spec.folder / where) if file.is_file() else where


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _declared(tensors: Sequence[TensorSpec] | None) -> dict[str, str]:
    return {tensor.name: tensor.declaration for tensor in tensors or ()}


def _check_pad(spec: ModelSpec, described: Mapping[str, Any]) -> None:
    known: dict[str, list[TensorSpec]] = {}
    for method in described["methods"].values():
        for row in (*method["inputs"], *method["outputs"]):
            tensor = TensorSpec(row["name"], DTYPES[row["dtype"]], tuple(row["shape"]))
            known.setdefault(tensor.name, []).append(tensor)
    for name, filler in spec.pad.items():
        if name not in known:
            raise spec.error(
                ("pad", name),
                "the class has no such input or output",
                did_you_mean(name, known, f"it has {', '.join(known)}"),
            )
        for finding in pad_findings(name, filler, known[name]):
            raise spec.error(finding.key, finding.found, finding.remedy)


def _binding(
    spec: ModelSpec, described: Mapping[str, Any], method: str, members: Mapping[str, Any]
) -> dict[str, Any]:
    row = described["methods"][method]
    make: Any = bindings.make_binding
    names = {entry["name"] for entry in (*row["inputs"], *row["outputs"])}
    binding: dict[str, Any] = make(
        described,
        spec.source.reference,
        method,
        init=spec.source.init,
        batched=not row["streams"] and (spec.batching is None or spec.batching.enabled),
        pad={name: value for name, value in spec.pad.items() if name in names},
        models=members,
    )
    return binding


def _tensors(spec: ModelSpec, binding: Mapping[str, Any]) -> dict[str, Any]:
    inputs, outputs = bound_tensors(binding)
    declared = spec.inputs or {}

    def row(tensor: TensorSpec) -> dict[str, Any]:
        said = declared.get(tensor.name)
        return {
            "name": tensor.name,
            "declaration": tensor.declaration,
            "range": said.range if said else None,
            "optional": tensor.optional,
        }

    return {
        "inputs": [row(tensor) for tensor in inputs],
        "outputs": [{**row(tensor), "range": None} for tensor in outputs],
        "default_dims": {},
    }


def _silent(_: str) -> None:
    return
