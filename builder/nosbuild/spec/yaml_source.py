"""A YAML file -> plain data, with the line and the written text of every key path."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nosbuild.errors import SpecError, SpecProblem

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of the file down."""


def dotted(path: KeyPath) -> str:
    """``("batching", "preferred", 0)`` -> ``batching.preferred[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


@dataclass(frozen=True)
class YamlSource:
    """What a YAML file holds, and where."""

    file: Path
    data: dict[str, Any]
    sha256: str
    """Of the file's bytes."""
    lines: dict[KeyPath, int] = field(repr=False)
    """1-based line of every key and list item."""
    texts: dict[KeyPath, str] = field(repr=False)
    """Every scalar as it is written, before YAML gave it a type."""

    def line(self, path: KeyPath) -> int | None:
        """The line of the longest part of the path that is in the file; None where none is."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def text(self, path: KeyPath) -> str | None:
        """The scalar as it is written; None for mappings, lists and what is not there."""
        return self.texts.get(path)

    def written(self, path: KeyPath) -> KeyPath:
        """The longest part of the path that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return path[:length]
        return ()


def read_yaml(file: Path) -> YamlSource:
    """Read one YAML document whose top is a mapping.

    Raises:
        SpecError: not readable, not UTF-8, no YAML, no mapping, a key twice, a key that is no
            string.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        remedy = "give a readable file"
        raise SpecError(file, [SpecProblem("", found, remedy)]) from error
    text = _decode(file, content)
    try:
        loader = _Loader(text)
        try:
            walk = _Walk(loader)
            data = walk.value(_top(file, loader), ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError(file, [_unreadable(error, text)]) from error
    except RecursionError as error:
        found, remedy = "is nested too deeply", "write it flat, without aliases to itself"
        raise SpecError(file, [SpecProblem("", found, remedy)]) from error
    if walk.problems:
        raise SpecError(file, walk.problems)
    return YamlSource(file, data, hashlib.sha256(content).hexdigest(), walk.lines, walk.texts)


def _top(file: Path, loader: _Loader) -> yaml.MappingNode:
    node = loader.get_single_node()
    if node is None:
        found, remedy = "the file is empty", "write at least name and source"
        raise SpecError(file, [SpecProblem("", found, remedy)])
    if not isinstance(node, yaml.MappingNode):
        found = f"the file holds a {_kind(node)}, not a mapping"
        remedy = "write `key: value` lines at the top, starting with `name:`"
        raise SpecError(file, [SpecProblem("", found, remedy, _line(node))])
    return node


class _Loader(yaml.SafeLoader):
    """YAML's safe types, with the numbers of YAML 1.2.

    YAML 1.1, which PyYAML reads, takes ``1e-3`` for a string, ``010`` for eight, ``1:30`` for
    ninety and ``2026-01-01`` for a date.
    """


_NUMBERS_AND_DATES = (
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:timestamp",
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS_AND_DATES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)\Z"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"([-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
    ),
    list("-+.0123456789"),
)


_SCALARS = (str, bool, int, float, type(None))
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Walk:
    """Turns a node graph into data and writes down where everything stood."""

    def __init__(self, loader: _Loader) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.texts: dict[KeyPath, str] = {}
        self.problems: list[SpecProblem] = []
        self._loader = loader
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if node in self._open:
            self._problem(path, node, "refers to itself", "write the value out, without an alias")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.ScalarNode):
                self.texts[path] = node.value
                return self._scalar(node, path)
            if node.tag not in _PLAIN_TAGS:
                found = f"has the tag {node.tag}"
                self._problem(path, node, found, "write the value without a tag")
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            assert isinstance(node, yaml.MappingNode), "YAML has three kinds of nodes"
            return self._mapping(node, path)
        finally:
            self._open.pop()

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        items = []
        for position, item in enumerate(node.value):
            here: KeyPath = (*path, position)
            self.lines[here] = _line(item)
            items.append(self.value(item, here))
        return items

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._check_twice(node, path)
        # Turns `<<: *base` into entries before the mapping's own, which therefore win.
        self._loader.flatten_mapping(node)
        data = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, path)
            if not isinstance(key, str):
                shown = getattr(key_node, "value", key)
                found = f"the key {shown} is read as {type_name(key)}, not a string"
                self._problem(path, key_node, found, f'quote it: "{shown}": ...')
                continue
            here: KeyPath = (*path, key)
            self.lines[here] = _line(key_node)
            data[key] = self.value(value_node, here)
        return data

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            value = self._loader.construct_object(node, deep=True)
        except ValueError:  # more digits than Python converts
            self._problem(path, node, "a number that is too long", "write a shorter one")
            return None
        if isinstance(node, yaml.ScalarNode) and not isinstance(value, _SCALARS):
            self._problem(path, node, f"has the tag {node.tag}", "write the value without a tag")
            return None
        return value

    def _check_twice(self, node: yaml.MappingNode, path: KeyPath) -> None:
        first: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key = key_node.value
            if key in first:
                found = f"stands twice, first on line {first[key]}"
                self._problem((*path, key), key_node, found, "keep one of the two")
            first.setdefault(key, _line(key_node))

    def _problem(self, path: KeyPath, node: yaml.Node, found: str, remedy: str) -> None:
        self.problems.append(SpecProblem(dotted(path), found, remedy, _line(node)))


def _decode(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"byte 0x{content[error.start]:02x} is not UTF-8"
        remedy = "save the file with the encoding UTF-8"
        raise SpecError(file, [SpecProblem("", found, remedy, line)]) from error


def _unreadable(error: yaml.YAMLError, text: str) -> SpecProblem:
    remedy = "correct the YAML on this line or the one above it"
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        character = f"U+{error.character:04X}"
        return SpecProblem("", f"the control character {character}", "remove it", line)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return SpecProblem("", f"is no YAML: {error}", remedy)
    found = f"is no YAML: {error.problem}"
    if "\\t" in found:
        found, remedy = "a tab where YAML allows none", "indent with spaces"
    elif "single document" in str(error.context):
        found, remedy = "a second document starts here", "keep one document: remove the `---`"
    elif "flow mapping" in str(error.context):
        remedy = 'inside {...} quote what holds brackets, e.g. {ids: "int64[batch, seq]"}'
    elif "constructor for the tag" in found:
        remedy = "write the value without a tag"
    return SpecProblem("", found, remedy, error.problem_mark.line + 1)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"


def type_name(value: object) -> str:
    """The YAML word for a value's type, with its article."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "a mapping"
