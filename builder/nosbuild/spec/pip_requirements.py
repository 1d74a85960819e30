"""The ``requirements`` key, a list or a file of the model's folder -> pip requirements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from nosbuild.spec.problems import Finding
from nosbuild.spec.references import check_file
from nosbuild.spec.yaml_source import KeyPath, type_name

REQUIREMENT_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*($|[\[=<>!~;@ ].*$)"
"""The beginning of a requirement (PEP 508), for editors."""

VERSION_CONTROL = re.compile(r"(?:^|@)\s*(?:git|hg|svn|bzr)\+")
"""In a requirement that pip clones."""

_KEY: KeyPath = ("requirements",)
_FORM = "write e.g. some-package>=1.2"
_COMMENT = re.compile(r"(^|\s)#.*$")
_NESTED = re.compile(r"(?:-r|--requirement)(?:\s+|=|(?<=r))(\S.*)")

# Releases of numpy that Triton's Python backend works with; some of the patches never existed.
_NUMPY_1 = [f"1.{minor}.{patch}" for minor in range(26) for patch in range(8)]
_NUMPY_1 += [f"1.26.{patch}" for patch in range(5)]


class _Written(NamedTuple):
    text: str
    key: KeyPath
    where: str
    """``requirements.txt:3: `` for a line of a file; empty in the model.yaml."""


def parse_requirements(
    value: object, folder: Path, python: object = None
) -> tuple[str, ...] | list[Finding]:
    """Read the key, or say everything that is wrong with it.

    Args:
        value: a list of requirements, or the name of a file with one on each line.
        folder: the model's folder.
        python: the version of Python that the spec asks for, by which markers are judged.
    """
    read: list[_Written | Finding]
    if isinstance(value, str):
        read = list(_named_file(value, folder))
    elif isinstance(value, list):
        read = [
            _Written(text, (*_KEY, place), "")
            if isinstance(text, str)
            else Finding((*_KEY, place), f"is {type_name(text)}, not a requirement", _FORM)
            for place, text in enumerate(value)
        ]
    else:
        remedy = "write a list, e.g. requirements: [some-package>=1.2], or a file's name"
        return [Finding(_KEY, f"is {type_name(value)}, not a list", remedy)]
    findings: list[Finding] = []
    for one in read:
        findings += [one] if isinstance(one, Finding) else _findings(one, python)
    return findings or tuple(
        " ".join(one.text.split()) for one in read if isinstance(one, _Written)
    )


def _named_file(name: str, folder: Path) -> Iterator[_Written | Finding]:
    if not (folder / name).is_file() and not name.endswith((".txt", ".in")):
        remedy = f"write a list: requirements: [{name}]" if name.strip() else _FORM
        yield Finding(_KEY, f"{name!r} is no file of the model's folder", remedy)
    else:
        yield from _file_lines(name, folder, "", ())


def _file_lines(
    name: str, folder: Path, where: str, readers: tuple[str, ...]
) -> Iterator[_Written | Finding]:
    """The requirements in a file and in those that it names with ``-r``."""
    name = PurePosixPath(name).as_posix()
    if name in readers:
        chain = " -> ".join((*readers, name))
        yield Finding(_KEY, f"{where}the files read each other: {chain}", "remove one of the -r")
        return
    missing = check_file(_KEY, name, folder)
    yield from (Finding(_KEY, where + one.found, one.remedy) for one in missing)
    if missing:
        return
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        yield Finding(_KEY, f"{name} cannot be read: {error}", "save it as a text file in UTF-8")
        return
    for number, line in _joined_lines(text):
        content = _COMMENT.sub("", line).strip()
        here = f"{name}:{number}: "
        if nested := _NESTED.fullmatch(content):
            inner = (PurePosixPath(name).parent / nested[1]).as_posix()
            yield from _file_lines(inner, folder, here, (*readers, name))
        elif content:
            yield _Written(content, _KEY, here)


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of every line; one that ends in a backslash goes on in the next."""
    begin, pending = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        begin = begin if pending else number
        if line.endswith("\\"):
            pending += line.removesuffix("\\") + " "
            continue
        yield begin, pending + line
        pending = ""
    if pending:
        yield begin, pending


def _findings(written: _Written, python: object) -> Iterator[Finding]:
    text = written.text.strip()
    found, remedy = _problem(text, python)
    if found:
        yield Finding(written.key, written.where + found, remedy)


def _problem(text: str, python: object) -> tuple[str, str]:
    """What is wrong with a requirement, and what to write; empty where nothing is."""
    if text.startswith("-"):
        option = re.split(r"[\s=]", text)[0]
        return f"{option} is an option of pip, not a requirement", _instead_of(option)
    if "--hash" in text:
        remedy = "remove the hashes; the build writes those of what it installed into nos.lock"
        return f"{text.split()[0]!r} with hashes", remedy
    if VERSION_CONTROL.search(text):
        found = f"{text!r} comes from version control, which has no sha256 to lock"
        return found, "name a wheel or an archive: some-package @ https://..."
    if place := _BARE_PLACE.search(text):
        url = text if "://" in place[0] else "https://..."
        return f"{text!r} names no package", f"write its name first: some-package @ {url}"
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        single = re.sub(r"(?<![=<>!~])=(?!=)", "==", text, count=1)
        remedy = f"did you mean {single!r}?" if single != text and _is_valid(single) else _FORM
        return f"{text!r} is no pip requirement", remedy
    if requirement.url and not re.match(r"[A-Za-z+]+:", requirement.url):
        return f"{requirement.url!r} is no URL", f"write {requirement.name} @ https://..."
    if canonicalize_name(requirement.name) == "numpy" and _applies(requirement, python):
        return _numpy_problem(text, requirement.specifier)
    return "", ""


_BARE_PLACE = re.compile(r"^(\.|/|~|[A-Za-z+]+://)|^[^@\s]+\.(whl|zip|tar\.gz)$")
_INSTEAD = {
    ("-r", "--requirement"): "write the file's name alone: requirements: requirements.txt",
    ("-c", "--constraint"): "write the versions as requirements: some-package==1.2",
    ("-e", "--editable"): "write some-package @ https://..., or put its code beside the model.yaml",
    ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index"): (
        "tell pip itself where to look: pip config set, or PIP_INDEX_URL in the environment"
    ),
}


def _instead_of(option: str) -> str:
    return next((text for names, text in _INSTEAD.items() if option in names), "remove it")


def _is_valid(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def _applies(requirement: Requirement, python: object) -> bool:
    """Whether its marker holds in the Python that the spec asks for."""
    if requirement.marker is None:
        return True
    asked = re.fullmatch(r"3\.[0-9]+", python) if isinstance(python, str) else None
    versions = {"python_version": asked[0], "python_full_version": f"{asked[0]}.0"} if asked else {}
    return requirement.marker.evaluate({"extra": "", **versions})


def _numpy_problem(text: str, allowed: SpecifierSet) -> tuple[str, str]:
    named = [one.version.removesuffix(".*") for one in allowed]
    old = [version for version in named if version.startswith(("0.", "1."))]
    if any(allowed.contains(version, prereleases=True) for version in (*_NUMPY_1, *old)):
        return "", ""
    found = (
        f"{text!r} excludes numpy 1, but with numpy 2 the Python backend of Triton 2.51 corrupts"
    )
    return f"{found} tensors", "write numpy>=1.26,<2, or leave numpy out (it is always there)"


SCHEMA: dict[str, Any] = {
    "description": "Of a python model: pip requirements of its own environment.",
    "oneOf": [
        {"type": "array", "items": {"type": "string", "pattern": REQUIREMENT_PATTERN}},
        {"type": "string", "minLength": 1, "description": "A file with one on each line."},
    ],
}
"""JSON Schema of the key."""
