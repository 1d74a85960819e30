"""Memory of models, from /proc: each instance of a Python-based model is a process of Triton's."""

import os
import re
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_of_models(pid, names, proc=_PROC):
    """Bytes of the workers of each model, and of what they started themselves.

    Proportional set size: what is shared, such as libraries, counts in parts. Where that may not
    be read, resident set size.

    Args:
        pid: Triton's.
        names: of models.
        proc: where the kernel tells of processes.

    Returns:
        name -> bytes, of those that have workers.
    """
    children = _children(proc)
    found = {}
    for child in children.get(pid, ()):
        name = _model(proc, child, names)
        if name:
            found[name] = found.get(name, 0) + _subtree(proc, child, children)
    return found


def _children(proc):
    """Process -> those that it started."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                # The name of a process may be any bytes.
                text = (folder / "stat").read_text(errors="replace")
            except OSError:
                continue  # it ended just now
            parent = int(text.rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(folder.name))
    return found


def _model(proc, pid, names):
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    # Where an environment is activated first, the words are those of a shell's command.
    for word in " ".join(words).split():
        # The longest: of the models "a" and "a_1", "a_1_0_0" is the second one's.
        matching = [name for name in names if _is_instance(word, name)]
        if matching:
            return max(matching, key=len)
    return ""


def _is_instance(word, name):
    return word.startswith(name) and bool(re.fullmatch(r"(_\d+){1,2}", word[len(name) :]))


def _subtree(proc, pid, children):
    return _bytes(proc, pid) + sum(_subtree(proc, one, children) for one in children.get(pid, ()))


def _bytes(proc, pid):
    folder = proc / str(pid)
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not allowed, or an old kernel
    try:
        return int((folder / "statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0  # it ended just now
