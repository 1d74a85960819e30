"""A process of ours and options with a secret go in; the list of processes shows it no longer.

Triton takes keys on its command line only, which every user of the machine may read in /proc. Once
it has read them, their bytes there are of no use to it: what programs that take passwords as
arguments do to themselves is done to it from here. Source of the fields: proc(5), ``stat`` and
``cmdline``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nosbuild.inside_triton.model_manager.nos_model_manager.processes import stat

_ARG_START, _ARG_END = 48 - 3, 49 - 3
"""Fields of ``stat``, of which the third comes first."""


def hide_values(pid: int, options: Sequence[str]) -> bool:
    """Overwrite what stands after the last ``=`` of each option.

    Args:
        pid: of a process that this one started, directly or not, and that has read its arguments.
        options: as they stand on its command line.

    Returns:
        False where the system does not let us write there: they can be read for as long as it runs.
    """
    wanted = {option.encode() for option in options}
    folder = Path("/proc") / str(pid)
    try:
        fields = stat(pid)
        begin, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        with (folder / "mem").open("r+b", buffering=0) as memory:
            memory.seek(begin)
            at = begin
            for word in memory.read(end - begin).split(b"\0"):
                if word in wanted:
                    secret = len(word.rpartition(b"=")[2])
                    memory.seek(at + len(word) - secret)
                    memory.write(b"*" * secret)
                at += len(word) + 1
        return not wanted & set((folder / "cmdline").read_bytes().split(b"\0"))
    except (OSError, ValueError, IndexError):  # not ours to write, or no such process
        return False
