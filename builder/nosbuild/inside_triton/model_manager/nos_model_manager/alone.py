"""The arguments of this model's instance go in; it is refused where another manager is at work.

Two managers would each keep the budget for itself, and load what the other unloads.
"""

import json
import os
from pathlib import Path

from .processes import PROC, started, stat


class NotAlone(Exception):
    """Why this instance must not be loaded, and what helps."""


def require_alone(args, folder, server, proc=PROC):
    """Refuse more than one instance, and a manager of another folder in the same server.

    The same folder is this very manager, loaded again: Triton loads the new one while the old one
    still runs.

    Args:
        args: of ``initialize``.
        folder: of the model.
        server: pid of Triton.
        proc: where the kernel tells of processes.

    Raises:
        NotAlone: there are two; of two that are loaded at the same moment the older one may stay.
    """
    groups = json.loads(args["model_config"]).get("instance_group") or [{}]
    instances = sum((one.get("count") or 1) * max(1, len(one.get("gpus", ()))) for one in groups)
    if instances > 1:
        raise NotAlone(
            f"the model manager is to have {instances} instances, and must have one, in which any "
            f"number of requests wait: write instance_group {{ count: 1 kind: KIND_CPU }} in "
            f"{folder / 'config.pbtxt'}"
        )
    me = _age(proc / str(os.getpid()))
    for process, other in _managers(server, proc):
        if _age(process) < me and not _is_same(other, folder):
            raise NotAlone(
                f"this server has a model manager already, that of {other}, and {folder} would be "
                "a second one: unload one of them, and keep one in the server's repositories"
            )


def _managers(server, proc):
    """Workers of the server that run a manager, and the folders of their models."""
    for process in proc.iterdir():
        if not process.name.isdigit() or process.name == str(os.getpid()):
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended just now
        state, parent = (stat(process.name, proc) or ["Z", "0"])[:2]
        if int(parent) != server or state == "Z":
            continue
        for word in words:
            file = Path(word)
            if file.name == "model.py" and (file.parent / Path(__file__).parent.name).is_dir():
                yield process, file.parent.parent


def _age(process):
    """Its place in the order in which processes began; the last where it has ended."""
    fields = stat(process.name, process.parent)
    return started(fields) if fields else float("inf"), int(process.name)


def _is_same(folder, other):
    try:
        return folder.samefile(other)
    except OSError:
        return folder == other
