"""Workers of models, from /proc: each instance of a Python-based model is a process of Triton's."""

import os
import re

from .processes import PROC, Process, children_of_all, started, stat
from .sizes import Sizes, host, total

_PAGE = os.sysconf("SC_PAGE_SIZE")


def workers_of_models(pid, names, proc=PROC):
    """The workers of each model that go on, the newest first.

    Args:
        pid: Triton's.
        names: of models.
        proc: where the kernel tells of processes.

    Returns:
        name -> Processes, of those that have some.
    """
    found = {}
    for child in children_of_all(proc).get(pid, ()):
        name = _model(proc, child, names)
        fields = stat(child, proc)
        if name and fields:
            found.setdefault(name, []).append(Process(child, started(fields)))
    return {
        name: sorted(workers, key=lambda one: (one.started, one.pid), reverse=True)
        for name, workers in found.items()
    }


def memory_of(workers, devices=None, proc=PROC):
    """What workers hold, with all that they started themselves.

    Args:
        workers: name -> Processes.
        devices: process -> Sizes of GPUs.
        proc: where the kernel tells of processes.

    Returns:
        name -> Sizes of each of them. Of main memory the proportional set size, in which what is
        shared, such as libraries, counts in parts; where that may not be read, resident set size.
    """
    children = children_of_all(proc)
    devices = devices or {}

    def sizes(worker):
        processes = [worker.pid, *_descendants(worker.pid, children)]
        return total(host(_bytes(proc, one)) + devices.get(one, Sizes()) for one in processes)

    return {name: [sizes(worker) for worker in ones] for name, ones in workers.items()}


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


def _descendants(pid, children):
    for child in children.get(pid, ()):
        yield child
        yield from _descendants(child, children)


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
