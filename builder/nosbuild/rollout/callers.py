"""A model whose tensors change goes in; it is held back while models that call it are loaded."""

from __future__ import annotations

from nosbuild.errors import RequestError
from nosbuild.repository.calls import called_by
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.rollout.loads import Loads
from nosbuild.runtime.served_files import Snapshot


def check_callers(loads: Loads, folder: ModelFolder, served: Snapshot, published: Snapshot) -> None:
    """Triton swaps one model at a time: callers would meet tensors that are not theirs.

    Raises:
        RequestError: a loaded model calls it, and its tensors are others than before.
    """
    then, now = (_interfaces(folder, snapshot) for snapshot in (served, published))
    if not (then and now) or then & now:
        return
    callers = [
        other
        for other in loads.server.files.names()
        if folder.name in called_by(ModelFolder(folder.path.parent / other)) and loads.loaded(other)
    ]
    if callers:
        raise RequestError(
            f"the inputs, outputs or largest batch of {folder.name} changed, and "
            f"{', '.join(callers)}, which is loaded, calls it: a server cannot swap both at once",
            f"nosbuild unload {callers[0]}; nosbuild load {folder.name}; nosbuild load "
            f"{callers[0]}. Or start the server again.",
        )


def _interfaces(folder: ModelFolder, snapshot: Snapshot) -> set[str]:
    found = set()
    for version, digest in snapshot.versions.items():
        file = folder.version(version) / LOCK
        if digest and file.is_file():
            found.add(read_lock(file).interface)
    return found
