"""A model for a running server to load goes in; what it loads is noted as what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nosbuild.errors import RepositoryError, RequestError
from nosbuild.repository.calls import with_called
from nosbuild.repository.layout import PUBLISH_LOCK, ModelFolder
from nosbuild.runtime.served_files import ServedFiles, Snapshot, snapshot_of
from nosbuild.store.host_errors import host_errors
from nosbuild.store.locks import shared_lock

_ATTEMPTS = 5
"""How often it begins again because a new version was published meanwhile."""


def take_up(
    repository: Path,
    model: str,
    load: Callable[[Sequence[str]], None],
    *,
    files: ServedFiles | None,
    rolls_out: Callable[[], bool] | None = None,
) -> None:
    """Load a model as it is published, and note that as what is served of it.

    Nothing of it, nor of what it calls, is published while it is loaded: otherwise what is noted
    would be what came after the load, which nobody loaded or proved.

    Args:
        repository: Triton's model repository.
        model: of it.
        load: loads it; given its name, and those of all models that it calls.
        files: of the server; None of one that an older nosbuild started, which notes nothing.
        rolls_out: proves new versions first: whether there were some, which serve now.

    Raises:
        RequestError: it is published again and again.
        HostError: the cache folder cannot be written.
    """
    for _ in range(_ATTEMPTS):
        if rolls_out and rolls_out():
            return
        if files is None:
            load(with_called(repository, [model]))
            return
        with files.locked():
            closure = with_called(repository, [model])
            with held_still(repository, closure) as published:
                served = {name: files.served(name) for name in published}
                if rolls_out and any(
                    earlier and published[name].new_versions(earlier)
                    for name, earlier in served.items()
                ):
                    continue  # it came after the roll-out
                load(closure)
                for name, snapshot in published.items():
                    if name == model or served[name] is None:
                        files.note(name, snapshot)
                return
    raise RequestError(
        f"{model} is published again and again: it is not loaded",
        f"nosbuild load {model}, once it is not.",
    )


@contextmanager
def held_still(repository: Path, names: Iterable[str]) -> Iterator[dict[str, Snapshot]]:
    """What is published of models, which stays so for as long as the block lasts; those of which
    nothing can be read are left out.
    """
    folders = {name: ModelFolder(repository / name) for name in names}
    with ExitStack() as held:
        for name in sorted(folders):  # always in this order: two who want several wait in turn
            # Where there is none, no build has published, and one that Triton sees in a folder is a
            # change, for which it loads what is loaded.
            if (folders[name].path / PUBLISH_LOCK).exists():
                with host_errors(
                    f"{folders[name].path} cannot be locked",
                    "Change the rights of the model's folder.",
                ):
                    held.enter_context(shared_lock(folders[name].path / PUBLISH_LOCK))
        found = {}
        for name, folder in folders.items():
            with suppress(RepositoryError):  # whoever loads it says so
                found[name] = snapshot_of(folder)
        yield found
