"""Executions that take too long, in a process without Triton."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import nosbuild.inside_triton.python_model as python_model
from nosbuild.inside_triton.python_model.nos_python_model.execution_deadline import (
    PARAMETER,
    BadDeadline,
    deadline_of,
)

BEGIN = """
import ctypes, sys, threading, time
import nos_python_model.execution_deadline as execution_deadline
from nos_python_model.execution_deadline import ExecutionDeadline
from nos_python_model.hung_at import hung_at

def sleeps(seconds):
    time.sleep(seconds)

def holds(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # with the interpreter's lock

def limit(on_expiry=None, seconds=0.5):
    return ExecutionDeadline(seconds, "m", hung_at, on_expiry)
"""


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(Path(python_model.__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(code):
    """Exit status, what was printed, and what the log would have."""
    process = start(code)
    out, log = process.communicate(timeout=60)
    return process.returncode, out, log


def test_executions_in_time_are_left_alone_however_many():
    code = """
        deadline = limit()
        def work():
            for number in range(8):
                deadline.guarded(holds)(0.02)
                with deadline.execution():
                    sleeps(0.1)
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        time.sleep(1.5)
        print("alive")
    """
    assert ran(code) == (0, "alive\n", "")


def test_long_ones_that_hold_the_lock_are_left_alone_too():
    code = """
        guarded = limit(seconds=1.5).guarded(holds)
        for _ in range(4): guarded(1.0)
        print("alive")
    """
    assert ran(code) == (0, "alive\n", "")


def test_one_of_several_that_hangs_is_named_first():
    code = """
        deadline = limit(lambda reason: print(reason, flush=True))
        def others():
            while True:
                with deadline.execution(): sleeps(0.01)
        for _ in range(3): threading.Thread(target=others, daemon=True).start()
        def hangs(seconds):
            sleeps(seconds)
        threading.Thread(target=lambda: deadline.guarded(hangs)(60), name="slow one").start()
    """
    status, out, log = ran(code)
    assert status == 1
    told = f"model 'm': no answer within 0.5 s ({PARAMETER})"
    assert out == f"{told}, so its worker has ended; the log says where it was\n"
    first, second, *_ = log.splitlines()
    assert first.startswith(f"nosbuild: {told}: its worker, process ")
    assert second == "Thread slow one (most recent call last):"
    stack = log.split("\nThread ")[1]
    assert "in hangs\n" in stack
    assert "in sleeps" in stack
    assert "in others\n" in log  # the other threads come after it


def test_one_that_holds_the_lock_ends_as_well():
    status, _, log = ran("limit().guarded(holds)(60)")
    assert status == 1
    assert f"nosbuild: model 'm': no answer within 0.5 s ({PARAMETER}): its worker ends" in log
    assert "in holds\n" in log


@pytest.mark.parametrize(
    ("code", "told"),
    [("raise OSError('gone')", "OSError: gone"), ("sleeps(60)", ""), ("holds(60)", "in holds\n")],
)
def test_nothing_that_goes_wrong_at_the_end_keeps_it(code, told):
    status, _, log = ran(
        f"""
        def last(reason):
            {code}
        execution_deadline._LAST_SECONDS = 0.5
        limit(last).guarded(sleeps)(60)
        """
    )
    assert status == 1
    assert "no answer within 0.5 s" in log
    assert told in log


def test_a_process_that_was_stopped_while_it_had_nothing_to_do_lives_on():
    process = start(
        """
        deadline = limit()
        deadline.guarded(sleeps)(0.01)
        time.sleep(1)  # until nothing is set any more
        print("idle", flush=True)
        sys.stdin.close()
        time.sleep(4)
        deadline.guarded(sleeps)(0.01)
        print("alive")
        """
    )
    assert process.stdout.readline() == "idle\n"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2.5)  # more than anything that may be set
    os.kill(process.pid, signal.SIGCONT)
    out, log = process.communicate(timeout=60)
    assert (process.returncode, out, log) == (0, "alive\n", "")


def test_coroutines_are_told_with_what_they_wait_for():
    code = """
        import asyncio
        loop = asyncio.new_event_loop()
        async def never(): await asyncio.Event().wait()
        async def chunks():
            yield 1
            await never()
        async def reads():
            async for _ in chunks(): pass
        async def both(): await asyncio.gather(reads(), never())
        deadline = ExecutionDeadline(0.5, "m", lambda threads: hung_at(threads, loop))
        deadline.guarded(lambda _: loop.run_until_complete(both()))(None)
    """
    status, _, log = ran(code)
    assert status == 1
    of_tasks = log.split("\nCoroutine ")[1:]
    assert len(of_tasks) == 3
    (reading,) = [text for text in of_tasks if "in reads" in text]
    places = [line.rpartition(" in ")[2] for line in reading.splitlines() if " in " in line]
    assert places[:3] == ["reads", "chunks", "never"]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan", "1e30"])
def test_what_is_no_number_of_seconds(text):
    config = {"name": "m", "parameters": {PARAMETER: {"string_value": text}}}
    with pytest.raises(BadDeadline, match=f"parameter '{PARAMETER}' .* write a number of seconds"):
        deadline_of(config, str)


def test_no_parameter_is_no_deadline():
    assert deadline_of({"name": "m"}, str) is None
    assert deadline_of({"name": "m", "parameters": {}}, str) is None
