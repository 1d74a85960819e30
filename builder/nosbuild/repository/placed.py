"""Which instances are to run on which GPUs goes in; config.pbtxt files that say so come out.

A placement belongs to a machine, the rest of a config.pbtxt to a build. So that neither undoes the
other, the build's own ``instance_group`` is kept in a parameter beside the placement: what a build
wrote can still be told from what somebody changed, and the next build keeps the placement.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from nosbuild.errors import RepositoryError
from nosbuild.repository.config import read_config, write_text
from nosbuild.repository.layout import LOCK, PUBLISH_LOCK, STAGING_PREFIX, ModelFolder
from nosbuild.store.host_errors import host_errors
from nosbuild.store.locks import shared_lock

BEFORE_PLACEMENT = "instance_group_before_placement"
"""Parameter of config.pbtxt: the ``instance_group`` that the placement stands in for, as text."""
_BY_HAND = "# Written anew by nosbuild plan --apply; comments are lost in that.\n"


@dataclass(frozen=True)
class _Write:
    """One config.pbtxt to replace."""

    folder: ModelFolder
    before: bytes
    after: str


def is_placed(config: Any) -> bool:
    """Whether its ``instance_group`` is a placement."""
    return BEFORE_PLACEMENT in config.parameters


def without_placement(config: Any) -> Any:
    """A copy with the ``instance_group`` that the build wrote."""
    found = type(config)()
    found.CopyFrom(config)
    if is_placed(config):
        text = config.parameters[BEFORE_PLACEMENT].string_value
        try:
            before = text_format.Parse(text, type(config)())
        except text_format.ParseError:
            return found  # changed by hand: what was there is not known
        del found.instance_group[:]
        found.instance_group.extend(before.instance_group)
        del found.parameters[BEFORE_PLACEMENT]
    return found


def place_instances(config: Any, counts: Mapping[int, int]) -> None:
    """Write a placement into a ModelConfig.

    Args:
        config: changed; all but devices and counts of its instance groups stays.
        counts: GPU -> instances of the model there.
    """
    unplaced = without_placement(config)
    del config.instance_group[:]
    for count in sorted(set(counts.values()), reverse=True):
        group = config.instance_group.add()
        if unplaced.instance_group:
            group.CopyFrom(unplaced.instance_group[0])
        group.ClearField("name")  # Triton names them by the model
        group.kind = group.KIND_GPU
        group.count = count
        del group.gpus[:]
        group.gpus.extend(sorted(gpu for gpu, there in counts.items() if there == count))
    _remember(config, unplaced)


def _remember(config: Any, unplaced: Any) -> None:
    before = type(config)(instance_group=unplaced.instance_group)
    text = text_format.MessageToString(before, as_one_line=True)
    config.parameters[BEFORE_PLACEMENT].string_value = text


def keep_placement(
    config: Any,
    folder: ModelFolder,
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
) -> str:
    """Give a config.pbtxt that a build is about to write the placement of the one there.

    Args:
        config: of the build; changed.
        folder: of the model.
        before, now: what the model.yaml said when the newest version was built, and says now.

    Returns:
        what happened to the placement, a sentence; empty where there was none.
    """
    try:
        there = read_config(folder.config)
    except RepositoryError:
        return ""  # none yet, or broken
    if not is_placed(there):
        return ""
    again = "nosbuild plan --apply places it again"
    if (before or {}).get("instances") != (now or {}).get("instances"):
        return f"its placement on GPUs is gone, since instances changed in model.yaml: {again}"
    if any(group.kind != group.KIND_GPU for group in config.instance_group):
        return "its placement on GPUs is gone, since this build is for the CPU"
    unplaced = without_placement(config)
    del config.instance_group[:]
    config.instance_group.extend(there.instance_group)
    _remember(config, unplaced)
    gpus = sorted({gpu for group in there.instance_group for gpu in group.gpus})
    return f"its placement is kept: GPU {', '.join(map(str, gpus))} (nosbuild plan)"


def carry_placement(config: Any, placed: Any) -> bool:
    """Give an earlier config.pbtxt the placement of the one that it takes the place of.

    Args:
        config: changed, where the builds of both wanted the same instances.
        placed: maybe placed since the other one was there.

    Returns:
        whether it is another one now.
    """
    unplaced = without_placement(config)
    wanted = without_placement(placed).instance_group
    if not is_placed(placed) or unplaced.instance_group != wanted:
        return False
    if config.instance_group == placed.instance_group:
        return False
    del config.instance_group[:]
    config.instance_group.extend(placed.instance_group)
    _remember(config, unplaced)
    return True


def write_placements(repository: Path, placements: Mapping[str, Mapping[int, int]]) -> list[str]:
    """Write the placements of several models, or none of them.

    Args:
        repository: Triton's model repository.
        placements: model -> GPU -> instances.

    Returns:
        the models whose config.pbtxt changed.

    Raises:
        RepositoryError: a config.pbtxt that cannot be read, or whose instances cannot be placed.
        HostError: no space, or no right to write there. Nothing is changed then.
    """
    with ExitStack() as held:
        held.enter_context(
            host_errors(
                f"{repository} is as it was, nothing was placed",
                "Change the rights of the models' folders in it.",
            )
        )
        folders = [ModelFolder(repository.resolve() / name) for name in sorted(placements)]
        for folder in folders:  # always in this order: two that place wait for each other
            if folder.is_built:
                held.enter_context(shared_lock(folder.path / PUBLISH_LOCK))
        wanted = [_placed(folder, placements[folder.name]) for folder in folders]
        writes = [write for write in wanted if write is not None]
        _replace_all(writes)
    return [write.folder.name for write in writes]


def _placed(folder: ModelFolder, counts: Mapping[int, int]) -> _Write | None:
    config = read_config(folder.config)
    before = write_text(config)
    place_instances(config, counts)
    text = write_text(config)
    if text == before:
        return None
    if not any((folder.version(version) / LOCK).is_file() for version in folder.versions()):
        text = _BY_HAND + text.partition("\n")[2]
    return _Write(folder, folder.config.read_bytes(), text)


def _replace_all(writes: list[_Write]) -> None:
    """All are staged before the first is replaced; if one cannot be, the others are set back."""
    with ExitStack() as staged:
        staging = []
        for write in writes:
            place = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=write.folder.path))
            staged.callback(shutil.rmtree, place, ignore_errors=True)
            (place / "before").write_bytes(write.before)
            (place / "after").write_text(write.after, encoding="utf-8")
            for file in place.iterdir():
                shutil.copymode(write.folder.config, file)
                with file.open("rb") as written:
                    os.fsync(written.fileno())  # the bytes reach the disk before the name does
            staging.append(place)
        done: list[tuple[_Write, Path]] = []
        try:
            for write, place in zip(writes, staging, strict=True):
                (place / "after").replace(write.folder.config)
                done.append((write, place))
        except OSError:
            for write, place in done:
                (place / "before").replace(write.folder.config)
            raise
