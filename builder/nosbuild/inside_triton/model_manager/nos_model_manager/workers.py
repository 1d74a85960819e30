"""Workers of models, from /proc: each instance of a Python-based model is a process of Triton's."""

import os
import re
import signal
from pathlib import Path

from .sizes import Sizes, host, total

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def workers_of_models(pid, names, devices=None, proc=_PROC):
    """The workers of each model that go on.

    Args:
        pid: Triton's.
        names: of models.
        devices: process -> Sizes of GPUs.
        proc: where the kernel tells of processes.

    Returns:
        name -> (process, its Sizes) of each, the newest first; of those that have workers. They
        are those of what it started, too; of main memory the proportional set size, in which what
        is shared, such as libraries, counts in parts. Where that may not be read, resident set
        size.
    """
    children = _children(proc)
    devices = devices or {}
    found = {}
    for child in children.get(pid, ()):
        name = _model(proc, child, names)
        if name:
            processes = [child, *_descendants(child, children)]
            sizes = total(host(_bytes(proc, one)) + devices.get(one, Sizes()) for one in processes)
            worker = (_started(proc, child), child, sizes)
            found.setdefault(name, []).append(worker)
    return {
        name: [(child, sizes) for _, child, sizes in sorted(workers, key=_age)]
        for name, workers in found.items()
    }


def state_of(pid, proc=_PROC):
    """The kernel's letter for what it does; ``Z``: it ended, and nobody has asked how; ``""``: it
    is gone.
    """
    return (_stat(proc, pid) or [""])[0]


def processor_ticks(pid, proc=_PROC):
    """What it has used of processors, in ticks of the clock; 0 where it is gone."""
    fields = _stat(proc, pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def how_it_ended(pid, proc=_PROC):
    """Of a process that ended, which nobody has asked yet: words for people."""
    fields = _stat(proc, pid)
    code = int(fields[49]) if len(fields) > 49 else 0  # "exit_code" in man 5 proc
    if number := code & 0x7F:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "of this system"
        memory = "; the kernel does that where memory lacks" * (number == signal.SIGKILL)
        return f"was ended by signal {number} ({name}{memory})"
    return f"ended with exit code {code >> 8}"


def _stat(proc, pid):
    """The fields of /proc/PID/stat from the third on; empty where it is gone."""
    try:
        # The name of a process may be any bytes.
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started(proc, pid):
    fields = _stat(proc, pid)
    return int(fields[19]) if len(fields) > 19 else 0


def _children(proc):
    """Process -> those that it started."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            fields = _stat(proc, folder.name)
            if fields:  # it may have ended just now
                found.setdefault(int(fields[1]), []).append(int(folder.name))
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


def _age(worker):
    started, pid, _ = worker
    return -started, -pid


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
