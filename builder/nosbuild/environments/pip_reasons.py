"""What pip wrote goes in; the few lines of it that tell why it failed come out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["requirement", "conflict", "build", "network", "disk", "other"]

_LAST_LINES = 8
_NETWORK = re.compile(
    r"Retrying \(Retry\(|Could not fetch URL|NewConnectionError|ReadTimeoutError|"
    r"Connection(?: was)? (?:refused|reset|aborted|broken)|Temporary failure in name resolution|"
    r"Could not resolve host|CERTIFICATE_VERIFY_FAILED"
)
_DISK = re.compile(r"No space left on device|Disk quota exceeded")
_REQUIREMENT = re.compile(
    r"ERROR: (?:No matching distribution found|Could not find a version|Invalid requirement|"
    r"Package .* requires a different Python|HTTP error 404|.*is not a supported wheel|"
    r"THESE PACKAGES DO NOT MATCH THE HASHES|.* has inconsistent)"
)
_FAILED_STEP = re.compile(r"× (.+ did not run successfully)\.?")
_OUTPUT = re.compile(r"╰─> \[\d+ lines? of output\]")
_END = "[end of output]"
_NOISE = re.compile(
    r"^(?:WARNING: Location .* is ignored|\[notice\]|ERROR: ResolutionImpossible|"
    r"note: This |hint: See |ERROR: Failed to build installable wheels)"
)


@dataclass(frozen=True)
class PipReason:
    """Why pip failed."""

    kind: Kind
    """``requirement``: no such package or version, or not for this Python. ``conflict``: the
    requirements exclude each other. ``build``: a source package that does not build here.
    ``network``: the index was not reached. ``disk``: it is full."""
    lines: tuple[str, ...]
    """pip's own words."""


def pip_reason(lines: Sequence[str]) -> PipReason:
    """Find the reason in everything that pip wrote."""
    text = "\n".join(lines)
    if _DISK.search(text):
        full = [line.strip().removeprefix("ERROR: ") for line in lines if _DISK.search(line)]
        return PipReason("disk", tuple(full[-1:]))
    if _NETWORK.search(text) and "from versions: none" in text:
        tried = [line for line in lines if _NETWORK.search(line)]
        return PipReason("network", (*_errors(lines), tried[-1].strip()))
    if conflict := _conflict(lines):
        return PipReason("conflict", conflict)
    if _REQUIREMENT.search(text) and not _FAILED_STEP.search(text):
        return PipReason("requirement", _errors(lines))
    if build := _build(lines):
        return PipReason("network" if _NETWORK.search(text) else "build", build)
    kind: Kind = "network" if _NETWORK.search(text) else "other"
    meant = [line for line in lines if line.strip() and not _NOISE.match(line)]
    return PipReason(kind, _errors(lines) or tuple(meant[-_LAST_LINES:]))


def _errors(lines: Sequence[str]) -> tuple[str, ...]:
    """Pip's error lines with what hangs from them, without its own headings."""
    found: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("ERROR: "):
            inside = not _NOISE.match(line)
            if inside:
                found.append(line.removeprefix("ERROR: "))
        elif inside and line.startswith("    ") and line.strip():
            found.append(line)
        elif line.strip():
            inside = False
    return tuple(dict.fromkeys(found))[-_LAST_LINES:]


def _conflict(lines: Sequence[str]) -> tuple[str, ...]:
    for start, line in enumerate(lines):
        if line.startswith("The conflict is caused by"):
            causes = []
            for cause in lines[start + 1 :]:
                if not cause.strip():
                    break
                causes.append(cause.strip())
            heading = next((e for e in _errors(lines) if "conflicting dependencies" in e), line)
            return (heading, *causes)
    return ()


def _build(lines: Sequence[str]) -> tuple[str, ...]:
    """Which step failed, and the end of the innermost output of what it ran.

    Outputs are nested where a build's own requirements did not build: the innermost tells why.
    """
    steps = [found[1] for line in lines if (found := _FAILED_STEP.search(line))]
    if not steps:
        return ()
    innermost: list[str] = []
    for line in lines:
        if _OUTPUT.search(line):
            innermost = []
        elif _END in line:
            break
        elif line.strip():
            innermost.append(line.strip(" │"))
    if not any(_OUTPUT.search(line) for line in lines):
        innermost = [line.strip() for line in lines if re.match(r"\s*(fatal|error): ", line)]
    meant = [line for line in innermost if line and not _NOISE.match(line)]
    collected = next((line for line in reversed(lines) if line.startswith("Collecting ")), "")
    what = f" ({collected.removeprefix('Collecting ')})" if collected else ""
    return (f"{steps[-1]}{what}", *meant[-4:])
