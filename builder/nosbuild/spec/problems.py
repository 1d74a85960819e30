"""What validation found -> SpecProblems with line, key and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from nosbuild.errors import SpecProblem
from nosbuild.spec.yaml_source import KeyPath, YamlSource, dotted, type_name

_OURS = "model_spec"


@dataclass(frozen=True)
class Finding:
    """One thing wrong, before it is known on which line."""

    key: KeyPath
    found: str
    remedy: str
    line_of: KeyPath = ()
    """Whose line to show where the key itself is not in the file."""


def rejected(findings: Iterable[Finding]) -> PydanticCustomError:
    """The error to raise in a validator; carries every finding through pydantic."""
    return PydanticCustomError(_OURS, "not a model spec", {"findings": tuple(findings)})


def problem(finding: Finding, source: YamlSource) -> SpecProblem:
    """The finding with its line in the file."""
    line = source.line(finding.key) or source.line(finding.line_of)
    return SpecProblem(dotted(finding.key), finding.found, finding.remedy, line)


def problems(
    error: ValidationError, source: YamlSource, known_keys: Mapping[KeyPath, Sequence[str]]
) -> list[SpecProblem]:
    """Every problem that pydantic and our own validators found.

    Args:
        error: what validation raised.
        source: the file that was validated.
        known_keys: path of a mapping -> the keys it may have.
    """
    found: list[SpecProblem] = []
    for details in error.errors(include_url=False):
        for finding in _findings(details, source, known_keys):
            found.append(problem(finding, source))
    return found


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """``did you mean 'x'?`` where one of the known words is near; else the other text."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[near[0]]!r}?" if near else otherwise


def one_of(known: Iterable[str]) -> str:
    """``write one of a, b, c``."""
    return f"write one of {', '.join(known)}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _findings(
    details: ErrorDetails, source: YamlSource, known_keys: Mapping[KeyPath, Sequence[str]]
) -> Iterator[Finding]:
    path: KeyPath = details["loc"]
    if details["type"] == _OURS:
        yield from details["ctx"]["findings"]
    elif details["type"] == "extra_forbidden":
        known = known_keys.get(path[:-1], ())
        remedy = did_you_mean(str(path[-1]), known, f"remove it; known are {', '.join(known)}")
        yield Finding(path, "unknown key", remedy)
    elif details["type"] == "missing":
        yield Finding(path, "is missing", _how_to_add(path))
    else:
        # A short form (`instances: 2`) is validated as its long one (`instances.count`).
        path = source.written(path)
        yield Finding(path, *_wrong_value(path, details, source.text(path)))


_EXAMPLES = {
    "name": "add `name:` with the name of the model's folder",
    "source": 'add `source:`, e.g. source: {torch: "model.py:create"}',
}


def _how_to_add(path: KeyPath) -> str:
    key = str(path[-1])
    return _EXAMPLES.get(key, f"add `{key}:`")


_EXPECTED = {
    "string_type": ("a string", "write a string"),
    "bool_type": ("boolean", "write true or false"),
    "int_type": ("a whole number", "write a whole number"),
    "int_from_float": ("a whole number", "write a whole number"),
    "float_type": ("a number", "write a number"),
    "dict_type": ("a mapping", "write `key: value` entries"),
    "model_type": ("a mapping", "write `key: value` entries"),
    "tuple_type": ("a list", "write a list: [...]"),
}


def _wrong_value(path: KeyPath, details: ErrorDetails, text: str | None) -> tuple[str, str]:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    key = str(path[-1]) if path and isinstance(path[-1], str) else "-"
    shown = text if text is not None else str(value)
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        quoted = f'"{shown}"'
        remedy = f"quote it: {key}: {quoted}" if key != "-" else f"quote it: {quoted}"
        return f"{shown} is read as {type_name(value)}, not a string", remedy
    if kind in _EXPECTED:
        expected, remedy = _EXPECTED[kind]
        return f"{_shown(shown, value)} is no {expected.removeprefix('a ')}", remedy
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return f"{shown!r} is unknown", did_you_mean(shown, options, one_of(options))
    if kind == "greater_than_equal":
        return f"{shown} is out of range", f"write a number of at least {context['ge']}"
    return f"{shown}: {details['msg'].lower()}", "`nosbuild schema` prints what may stand here"


def _shown(text: str, value: object) -> str:
    return type_name(value) if isinstance(value, (dict, list)) or value is None else text
