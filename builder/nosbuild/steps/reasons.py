"""What a step was made from last time, and now, go in; what changed comes out, in words.

Only ``--explain`` reads it: whether a step runs is decided by its key alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nosbuild.store.hashing import sha256_of_value


class LastParts:
    """The key's parts when a model's step was last built: one small file."""

    def __init__(self, folder: Path, model: Path, step: str) -> None:
        self.file = folder / f"{sha256_of_value([str(model), step])[:32]}.json"

    def changes(self, parts: dict[str, Any]) -> str:
        """What differs from the last time; empty where there was none."""
        try:
            last = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, not ours, or a write that was interrupted
            return ""
        # As JSON has it: no tuples, no integer keys.
        return ", ".join(_changes(last, json.loads(json.dumps(parts))))

    def keep(self, parts: dict[str, Any]) -> None:
        """Remember the parts for the next build."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(parts), encoding="utf-8")


def _changes(last: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    changes = [f"{section} changed" for section in _differing(last, parts, "spec")]
    for name in _differing(last, parts, "versions"):
        before, now = last["versions"].get(name), parts["versions"].get(name)
        changes.append(f"{name} {before or 'absent'} -> {now or 'absent'}")
    changes += [f"the {name} changed" for name in _differing(last, parts, "host")]
    changes += [f"{name} changed" for name in _differing(last, parts, "made_from")]
    if last.get("code") != parts["code"]:
        changes.append("the code of nosbuild changed")
    return changes


def _differing(last: dict[str, Any], parts: dict[str, Any], part: str) -> list[str]:
    before, now = last.get(part, {}), parts.get(part, {})
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
