"""Two versions of a model go in; what differs between them comes out, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nosbuild.report.published_speed import published_speed
from nosbuild.repository.layout import LOCK
from nosbuild.repository.lock import Lock, read_lock
from nosbuild.verify.measure import Measurement

Section = Literal[
    "model.yaml", "variant", "error", "speed", "size", "files", "libraries", "machine"
]
_HOST = ("cpu_model", "cpus", "memory_bytes", "python")
"""Facts of a host in the order in which they are told; others follow."""


@dataclass(frozen=True)
class Change:
    """One thing that is not the same in both."""

    section: Section
    what: str
    before: Any
    """None where it is not there."""
    after: Any
    ratio: float | None = None
    """after / before, of figures that can be compared."""
    verdict: Literal["better", "worse", ""] = ""


@dataclass(frozen=True)
class VersionDiff:
    """What differs between two versions."""

    before: Path
    after: Path
    models: tuple[str, str]
    versions: tuple[int, int]
    changes: tuple[Change, ...]
    """By section."""
    notes: tuple[str, ...]
    """What cannot be told, or not be compared, and why."""


def diff_versions(before: Path, after: Path) -> VersionDiff:
    """Compare two version folders.

    Raises:
        RepositoryError: one of them has no lock that can be read.
    """
    locks = read_lock(before / LOCK), read_lock(after / LOCK)
    notes: list[str] = []
    changes = [
        *_spec(*locks, notes),
        *_of("variant", _variant(locks[0]), _variant(locks[1])),
        *_errors(*locks),
        *_speeds(*locks, (before, after), notes),
        *_sizes(*locks, (before, after)),
        *_of("files", *_files(*locks)),
        *_of("libraries", *(_libraries(lock) for lock in locks)),
        *_of("machine", *(_host(lock) for lock in locks)),
    ]
    return VersionDiff(
        before,
        after,
        (locks[0].model, locks[1].model),
        (locks[0].version, locks[1].version),
        tuple(changes),
        tuple(notes),
    )


def _of(section: Section, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield Change(section, what, before.get(what), after.get(what))


def _spec(before: Lock, after: Lock, notes: list[str]) -> Iterator[Change]:
    if before.spec is not None and after.spec is not None:
        yield from _of("model.yaml", dict(_flat(before.spec)), dict(_flat(after.spec)))
    elif before.spec_digest != after.spec_digest:
        older = before if before.spec is None else after
        notes.append(
            f"model.yaml changed; what in it is not known, since version {older.version} was "
            "built by an older nosbuild"
        )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """``{"a": {"b": 1}}`` -> ``a.b``, 1; lists stay whole."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else name)
    elif key:
        yield key, value


def _variant(lock: Lock) -> dict[str, Any]:
    details = {key: value for key, value in lock.details.items() if key != "environment"}
    return {"name": lock.variant, "backend": lock.backend, **dict(_flat(details))}


def _packages(lock: Lock) -> dict[str, Any]:
    """Of a Python model's own environment."""
    environment = lock.details.get("environment") or {}
    own = {f"own {row['name']}": row["version"] for row in environment.get("packages", ())}
    return {"own Python": environment["python"], **own} if environment else {}


def _errors(before: Lock, after: Lock) -> Iterator[Change]:
    """The worst error by bar; bars of another threshold are the same bar, moved."""
    found = [
        {
            (f["output"], f["bar"].split()[0].partition("(")[0]): f
            for f in lock.proof.get("findings", ())
        }
        for lock in (before, after)
    ]
    for key in dict.fromkeys((*found[0], *found[1])):
        old, new = (findings.get(key) for findings in found)
        if old and new and (old["value"], old["bar"]) == (new["value"], new["bar"]):
            continue
        first, second = (finding["value"] if finding else None for finding in (old, new))
        bars = list(dict.fromkeys(finding["bar"] for finding in (old, new) if finding))
        yield Change(
            "error",
            f"{key[0]}: {' -> '.join(bars)}",
            first,
            second,
            verdict=_judged(first, second, more_is_better=">" in bars[0]),
        )


def _speeds(
    before: Lock, after: Lock, folders: tuple[Path, Path], notes: list[str]
) -> Iterator[Change]:
    speeds = [_speed(folder, notes) for folder in folders]
    if not all(speeds):
        return
    old, new = (_figures(speed) for speed in speeds if speed)
    hosts = [
        {name: lock.host.get(name) for name in ("cpu_model", "cpus")} for lock in (before, after)
    ]
    alike = hosts[0] == hosts[1]
    if old == new:
        return
    notes.append(
        "speed: the two were measured in builds of their own, and a machine drifts: only figures "
        "relative to onnx-fp32 come from turns in one run"
        if alike
        else "speed: not comparable, since the two were measured on different processors"
    )
    for what in dict.fromkeys((*old, *new)):
        first, second = old.get(what), new.get(what)
        if first == second:
            continue
        relative = what == _OVER_BASELINE
        comparable = (alike or relative) and first and second
        yield Change(
            "speed",
            what,
            first,
            second,
            ratio=second / first if comparable and first and second else None,
            verdict=_judged(first, second, more_is_better=not what.startswith("ms "))
            if alike
            else "",
        )


_OVER_BASELINE = "throughput over onnx-fp32"


def _figures(speed: Measurement) -> dict[str, float]:
    figures = {f"ms at batch {row.batch}, median": row.median_ms for row in speed.latencies}
    for row in speed.throughputs:
        if (row.instances, row.threads) == (speed.instances, speed.threads):
            figures[f"items/s at batch {row.batch}"] = row.items_per_second
    if speed.over_baseline:
        figures[_OVER_BASELINE] = speed.over_baseline.value
    return figures


def _speed(folder: Path, notes: list[str]) -> Measurement | None:
    found = published_speed(folder)
    if isinstance(found, Measurement):
        return found
    notes.append(f"speed: not known, {found}")
    return None


def _sizes(before: Lock, after: Lock, folders: tuple[Path, Path]) -> Iterator[Change]:
    old, new = (
        sum((folder / name).stat().st_size for name in lock.artifact if (folder / name).is_file())
        for lock, folder in zip((before, after), folders, strict=True)
    )
    if old != new:
        yield Change("size", "bytes of the artifact", old, new, new / old if old else None)


def _files(before: Lock, after: Lock) -> tuple[dict[str, str], dict[str, str]]:
    return {**before.artifact, **before.read}, {**after.artifact, **after.read}


def _libraries(lock: Lock) -> dict[str, str]:
    return {"nosbuild": lock.nosbuild, **lock.libraries, **_packages(lock)}


def _host(lock: Lock) -> dict[str, Any]:
    order = (*(name for name in _HOST if name in lock.host), *lock.host)
    return {name: lock.host[name] for name in order}


def _judged(
    before: float | None, after: float | None, *, more_is_better: bool
) -> Literal["better", "worse", ""]:
    if before is None or after is None or not (before < after or before > after):
        return ""  # NaN is neither
    return "better" if (after > before) == more_is_better else "worse"


def _metric(bar: str) -> str:
    """``cosine`` of ``cosine >= 0.99``, ``allclose`` of ``allclose(atol=0.01) excess <= 0``."""
    return bar.split()[0].partition("(")[0]
