"""The keys of a python model against the text of its class -> everything that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nosbuild.spec.names import name_findings
from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.python_class import KEY, Parameters, PythonClass, is_servable, read_class

_METHOD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GIVEN = {
    "device": "remove it; `instances: {kind: cpu}` says where the model runs",
    "models": "remove it; `models: [...]` names the models that the class calls",
}
"""Parameters of ``__init__`` that the server fills."""

DEFAULT_METHODS = ("__call__",)
SINGLE = "output"
"""The output that one value is, unless ``outputs`` names it."""


def python_findings(data: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """What is wrong with the keys of a python model, beyond the type of each.

    Args:
        data: the file as it is written; values of a wrong type are told elsewhere.
        folder: the model's folder.
    """
    methods = _strings(data.get("methods", DEFAULT_METHODS))
    models = _strings(data.get("models", ()))
    init = data["source"].get("init", {})
    init = init if isinstance(init, dict) else {}
    yield from _listed_methods(data, methods)
    yield from _listed_models(models, folder.name, methods)
    for name, remedy in _GIVEN.items():
        if name in init:
            yield Finding(("source", "init", name), "is given by the server", remedy)
    reference = data["source"]["python"]
    found = (
        read_class(folder, reference, data.get("python")) if isinstance(reference, str) else None
    )
    if isinstance(found, Finding):
        yield found
    elif found is not None:
        if found.init is not None:
            yield from _init(found, found.init, init)
            yield from _models(found, found.init, data)
        yield from _methods(found, data, methods)
        yield from _arguments(found, data, methods)


def _strings(value: object) -> list[str]:
    """The strings of a list; what else stands there is told by the field itself."""
    return (
        [one for one in value if isinstance(one, str)] if isinstance(value, (list, tuple)) else []
    )


def _position(data: Mapping[str, Any], key: str, name: str) -> tuple[str | int, ...]:
    return (key, data[key].index(name)) if key in data else (key,)


def _listed_methods(data: Mapping[str, Any], methods: list[str]) -> Iterator[Finding]:
    if data.get("methods") == []:
        remedy = "remove the key to serve __call__, or name methods"
        yield Finding(("methods",), "is an empty list", remedy)
    for name in dict.fromkeys(methods):
        key = _position(data, "methods", name)
        if not _METHOD.fullmatch(name):
            remedy = "write the name of a method, in letters, digits and _"
            yield Finding(key, f"{name!r} is no method's name", remedy)
        elif methods.count(name) > 1:
            yield Finding(("methods",), f"names {name!r} twice", "write each once")


def _listed_models(models: list[str], own: str, methods: list[str]) -> Iterator[Finding]:
    itself = {own, *(f"{own}.{method}" for method in methods[1:])}
    for position, name in enumerate(models):
        key = ("models", position)
        yield from name_findings(key, name)
        if name in itself:
            found = f"{name!r} is this model itself, which would wait for itself"
            yield Finding(key, found, "remove it, and call the method directly")
        elif name in models[:position]:
            yield Finding(key, f"{name!r} stands twice", "write each once")


def _init(found: PythonClass, takes: Parameters, init: dict[str, Any]) -> Iterator[Finding]:
    what = f"{found.name}.__init__ ({takes.where})"
    own = [name for name in takes.names if name not in _GIVEN]
    for name in init:
        if name not in takes.names and name not in _GIVEN and not takes.takes_any:
            remedy = did_you_mean(name, own, one_of(own) if own else "remove it")
            yield Finding(("source", "init", name), f"{what} takes no {name!r}", remedy)
    for name in takes.required:
        if name not in init and name not in _GIVEN:
            remedy = f"add init: {{{name}: ...}}, or give it a default in the class"
            yield Finding(("source", "init", name), f"is missing; {what} has no default", remedy)


def _models(found: PythonClass, takes: Parameters, data: Mapping[str, Any]) -> Iterator[Finding]:
    what = f"{found.name}.__init__ ({takes.where})"
    if data.get("models") and "models" not in takes.names and not takes.takes_any:
        remedy = "add it, and call them through it: self.models.<name>(...)"
        yield Finding(("models",), f"{what} has no parameter 'models'", remedy)
    if "models" not in data and "models" in takes.required:
        remedy = "name the models that the class calls: models: [...]"
        yield Finding(("models",), f"is missing; {what} takes models", remedy, line_of=KEY)


def _methods(found: PythonClass, data: Mapping[str, Any], methods: list[str]) -> Iterator[Finding]:
    what = f"{found.name} ({found.where})"
    for name in methods:
        key = _position(data, "methods", name)
        servable = [other for other in found.servable if other not in methods]
        if name in found.properties:
            yield Finding(key, f"{found.name}.{name} is a property", "make it a method")
        elif name in found.methods:
            yield from _method(found, name, key)
        elif name in found.bound or not found.complete:
            continue
        elif "methods" not in data:
            remedy = f"add methods: [{', '.join(servable)}]" if servable else "give it a __call__"
            yield Finding(key, f"is missing, and {what} has no __call__", remedy, line_of=KEY)
        elif _METHOD.fullmatch(name):
            remedy = did_you_mean(name, servable, one_of(servable) if servable else "write it")
            yield Finding(key, f"{what} has no method {name!r}", remedy)


def _method(found: PythonClass, name: str, key: tuple[str | int, ...]) -> Iterator[Finding]:
    if name.startswith("__") and name != "__call__":
        yield Finding(key, f"{name!r} is called by Python, not by clients", "remove it")
        return
    if not is_servable(name) and not name.startswith("_"):
        yield Finding(key, f"{name!r} is called when the model is unloaded", "remove it")
        return
    takes = found.methods[name]
    if takes is not None and not takes.names and not takes.takes_any:
        what = f"{found.name}.{name} ({takes.where})"
        remedy = "give it an argument; a request has at least one input"
        yield Finding(key, f"{what} takes no argument", remedy, line_of=KEY)


def _arguments(
    found: PythonClass, data: Mapping[str, Any], methods: list[str]
) -> Iterator[Finding]:
    """Names of ``inputs`` that no served method takes; those of ``pad`` may be outputs."""
    known: list[str] = []
    gives_one = True
    for method in methods:
        takes = found.methods.get(method)
        if takes is None or takes.takes_any:
            return
        known += takes.names
        gives_one = gives_one and takes.gives_one
    of = " and ".join(f"{found.name}.{method}" for method in methods)
    for name in _names(data, "inputs"):
        if name not in known:
            remedy = did_you_mean(name, known, one_of(dict.fromkeys(known)))
            yield Finding(("inputs", name), f"{of} takes no argument {name!r}", remedy)
    outputs = _names(data, "outputs")
    known += outputs if len(outputs) == 1 else [*outputs, SINGLE]
    for name in _names(data, "pad") if gives_one else ():
        if name not in known:
            remedy = did_you_mean(name, known, one_of(dict.fromkeys(known)))
            yield Finding(("pad", name), f"{of} has no input and no output {name!r}", remedy)


def _names(data: Mapping[str, Any], section: str) -> list[str]:
    """The keys of a mapping; what else stands there is told by the field itself."""
    written = data.get(section)
    return list(written) if isinstance(written, dict) else []
