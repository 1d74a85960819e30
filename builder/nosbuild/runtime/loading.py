"""A model that a running server is told to load goes in; it is refused, or made ready to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nosbuild.errors import RepositoryError
from nosbuild.repository.layout import model_folders
from nosbuild.repository.unservable import require_servable
from nosbuild.runtime.client_control import ClientControl
from nosbuild.runtime.control import ControlRefused, TritonControl
from nosbuild.spec.problems import did_you_mean

_PYTHON_BASED = ("python", "onnxruntime", "tensorrt")
"""Backends that have workers here: the server's own, and those that nosbuild brings."""


def require_loadable(repository: Path, model: str) -> None:
    """Judge a model of a repository before a running server is told to load it.

    Raises:
        RepositoryError: it is not there, not built, broken, or not what was proven.
    """
    folder = repository / model
    if not (folder / "config.pbtxt").is_file():
        if (folder / "model.yaml").is_file():
            raise RepositoryError(f"model {model!r} is not built yet", f"nosbuild build {folder}")
        known = sorted(found.name for found in model_folders(repository))
        raise RepositoryError(
            f"{repository} has no model {model!r}",
            did_you_mean(model, known, f"It has: {', '.join(known) or 'none'}."),
        )
    require_servable(repository, model)


def unload_if_worker_ended(
    control: TritonControl | ClientControl, pid: int, model: str, timeout: float
) -> bool:
    """Unload a model that is loaded, but of which a worker process has ended.

    Triton keeps calling such a model ready, fails its requests, starts no other worker, and finds
    nothing to do when it is told to load what has not changed.

    Args:
        control: of the server.
        pid: Triton's, on this machine.
        model: Python-based or not; those without workers are left alone.
        timeout: seconds that the unloading may take.

    Returns:
        True where it was unloaded.

    Raises:
        RequestError: by a ClientControl: it must be unloaded, and its manager keeps it.
    """
    try:
        ready = sum(row.name == model and row.state == "READY" for row in control.index())
        if not ready:
            return False
        wanted = ready * _instances(control.config(model))
        if _workers(pid, model) >= wanted:
            return False
        control.unload(model, timeout)
    except (ControlRefused, OSError):
        return False  # the loading that comes next says what is wrong
    return True


def _instances(config: Mapping[str, Any]) -> int:
    """Workers that a version has; none for an ensemble."""
    if config.get("backend") not in _PYTHON_BASED:
        return 0
    groups = config.get("instance_group", [])
    return sum(int(group["count"]) * (len(group.get("gpus", [])) or 1) for group in groups)


def _workers(pid: int, model: str) -> int:
    """Instances of the model that have a worker; Triton gives it the instance's name.

    What was unloaded after one of several workers had ended keeps the others for as long as the
    server runs: such an instance hides that the same one of the new load has ended, too.
    """
    import psutil

    # Without the first number where config.pbtxt has no instance_group.
    instance = re.compile(rf"{re.escape(model)}(_\d+){{1,2}}")
    alive = set()
    # Not their children's: what a class forks looks the same.
    children = psutil.Process(pid).children() if psutil.pid_exists(pid) else []
    for child in children:
        try:
            alive |= {word for word in child.cmdline() if instance.fullmatch(word)}
        except psutil.Error:  # it ended just now, or waits to be buried
            continue
    return len(alive)
