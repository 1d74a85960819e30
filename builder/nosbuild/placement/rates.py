"""``rates.yaml`` goes in; what is wanted of each model comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nosbuild.errors import InputError, SpecError, SpecProblem
from nosbuild.spec.problems import did_you_mean, one_of
from nosbuild.spec.yaml_source import KeyPath, dotted, read_yaml, type_name
from nosbuild.store.limit import parse_size

KEYS = ("rate", "throughput", "instances", "memory")
EXAMPLE = "minilm: 400, or minilm: {rate: 400, throughput: 120}, or minilm: {instances: 2}"


@dataclass(frozen=True)
class Wanted:
    """Of one model; None where nothing is said."""

    rate: Fraction | None = None
    """Items a second that it is to answer."""
    throughput: Fraction | None = None
    """Items a second that one instance answers, with a GPU (or its share of the CPU) to itself."""
    instances: int | None = None
    memory: int | None = None
    """Bytes of one instance."""


@dataclass(frozen=True)
class Rates:
    """What is wanted of the models."""

    file: Path | str
    models: Mapping[str, Wanted]
    lines: Mapping[KeyPath, int]
    """1-based line of every key; empty where there is no file."""

    def error(self, key: KeyPath, found: str, remedy: str) -> SpecError:
        """One thing that is wrong with a key."""
        line = self.lines.get(key) or self.lines.get(key[:1])
        return SpecError(self.file, [SpecProblem(dotted(key), found, remedy, line)])


NONE = Rates("", {}, {})


def read_rates(file: Path) -> Rates:
    """Read a ``rates.yaml``.

    Raises:
        SpecError: no such file, no YAML, or not what such a file holds; has every problem.
    """
    try:
        source = read_yaml(file)
    except SpecError as exc:
        raise SpecError(file, [_of_rates(problem) for problem in exc.problems]) from exc
    return _rates(file, source.data, source.texts, source.lines)


def rates_of(data: Mapping[str, Any]) -> Rates:
    """The same of what a program says.

    Raises:
        SpecError: it is not what a ``rates.yaml`` holds.
    """
    return _rates("rates", data, {}, {})


def _of_rates(problem: SpecProblem) -> SpecProblem:
    if problem.key or not problem.found.startswith("the file"):
        return problem
    return SpecProblem("", problem.found, f"write a line a model, e.g. {EXAMPLE}", problem.line)


def _rates(
    file: Path | str,
    data: Mapping[str, Any],
    texts: Mapping[KeyPath, str],
    lines: Mapping[KeyPath, int],
) -> Rates:
    models: dict[str, Wanted] = {}
    problems: list[SpecProblem] = []
    for name, value in data.items():
        read = _Reader(name, value, texts)
        models[name] = read.wanted()
        problems += [
            SpecProblem(dotted(key), found, remedy, lines.get(key) or lines.get((name,)))
            for key, found, remedy in read.problems
        ]
    if problems:
        raise SpecError(file, problems)
    return Rates(file, models, lines)


class _Reader:
    """What stands beside one model's name."""

    def __init__(self, name: str, value: Any, texts: Mapping[KeyPath, str]) -> None:
        self.name = name
        self.value = value
        self.texts = texts
        self.problems: list[tuple[KeyPath, str, str]] = []

    def wanted(self) -> Wanted:
        if not isinstance(self.value, Mapping):
            return Wanted(rate=self._number((self.name,), self.value, f"write e.g. {EXAMPLE}"))
        self.problems += self._unknown()
        said = {key: self.value[key] for key in KEYS if key in self.value}
        if not said and not self.problems:
            self.problems.append(((self.name,), "says nothing", f"write e.g. {EXAMPLE}"))
        if "instances" in said and ("rate" in said or "throughput" in said):
            self.problems.append(
                (
                    (self.name, "instances"),
                    "does not go with rate and throughput, which tell the instances",
                    "remove it, or them",
                )
            )
        if "throughput" in said and "rate" not in said:
            remedy = "add rate: the items a second that are wanted"
            self.problems.append(((self.name, "throughput"), "says nothing without a rate", remedy))
        return Wanted(
            rate=self._positive("rate"),
            throughput=self._positive("throughput"),
            instances=self._instances(),
            memory=self._memory(),
        )

    def _unknown(self) -> Iterator[tuple[KeyPath, str, str]]:
        for key in self.value:
            if key not in KEYS:
                yield (
                    (self.name, str(key)),
                    "unknown key",
                    did_you_mean(str(key), KEYS, one_of(KEYS)),
                )

    def _positive(self, key: str) -> Fraction | None:
        if key not in self.value:
            return None
        remedy = f"write items a second, e.g. {key}: 400"
        return self._number((self.name, key), self.value[key], remedy)

    def _number(self, key: KeyPath, value: Any, remedy: str) -> Fraction | None:
        """Exactly as it is written: 0.1 is a tenth."""
        if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
            shown = repr(value) if isinstance(value, str) else type_name(value)
            self.problems.append((key, f"{shown} is no number", remedy))
            return None
        text = self.texts.get(key) or str(value)
        try:
            number = Fraction(text)
        except ValueError:  # infinite, or not a number
            number = Fraction(0)
        if number <= 0:
            self.problems.append((key, f"{text} is no rate above 0", remedy))
            return None
        return number

    def _instances(self) -> int | None:
        value = self.value.get("instances")
        if "instances" not in self.value:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            found = f"{value!r} is no number of instances"
            remedy = "write a whole number of at least 1"
            self.problems.append(((self.name, "instances"), found, remedy))
            return None
        return value

    def _memory(self) -> int | None:
        value = self.value.get("memory")
        if "memory" not in self.value:
            return None
        try:
            size = parse_size(value) if isinstance(value, str) else 0
        except InputError:
            size = 0
        if size <= 0:
            remedy = "write what one instance holds, e.g. memory: 3GiB"
            self.problems.append(((self.name, "memory"), f"{value!r} is no size", remedy))
            return None
        return size
