"""Threads go in; where they are, and what coroutines wait for, comes out as text for a log."""

import asyncio
import gc
import linecache
import sys
import threading
import traceback

_MOST = 32
"""Threads, and coroutines, of which it is said."""


def hung_at(threads, loop=None):
    """Where those threads are, by their identifiers, and then all others.

    Args:
        threads: those that take too long.
        loop: an event loop whose tasks may be what takes too long.
    """
    frames = sys._current_frames()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames.pop(threading.get_ident(), None)
    first = [ident for ident in dict.fromkeys(threads) if ident in frames]
    order = [*first, *(ident for ident in frames if ident not in first)]
    parts = [
        f"Thread {names.get(ident, ident)} (most recent call last):\n"
        + "".join(traceback.format_stack(frames[ident]))
        for ident in order[:_MOST]
    ]
    parts[len(first) : len(first)] = [] if loop is None else _tasks(loop)
    return "".join(parts)


def _tasks(loop):
    for task in list(asyncio.all_tasks(loop))[:_MOST]:
        lines = [_line(frame) for frame in _frames(task.get_coro())]
        if lines:
            yield f"Coroutine {task.get_name()} (most recent call last):\n" + "".join(lines)


def _frames(waiting):
    """The frames of a coroutine, and of each that it waits for."""
    while waiting is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                waiting = getattr(waiting, f"{prefix}_await", None)
                break
        else:
            # One step of an asynchronous generator does not say whose it is.
            referents = gc.get_referents(waiting) if "async_generator" in repr(waiting) else ()
            waiting = next((one for one in referents if hasattr(one, "ag_frame")), None)


def _line(frame):
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}\n' + (
        f"    {text}\n" if text else ""
    )
