"""A step function's name and arguments go in; its result comes out of a child process.

Whatever the child does (exit, crash, hang), the parent gets a result or one of our errors; the
child's whole output is kept in a log, and beside the log of a step that failed lies a script that
runs it alone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.errors import (
    HostError,
    NosError,
    Refused,
    SpecError,
    SpecProblem,
    error_classes,
)

LOG_TAIL = 15
"""Lines of the log shown where a step dies without a word."""
FULL_BELOW = 1 << 20
"""Bytes left on a disk that is taken to be full."""

CHILD_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # the model's folder is the user's
    "PYTHONHASHSEED": "0",  # a source made twice, in two children, is made alike
}


@dataclass(frozen=True)
class Isolated:
    """A step to run in a child."""

    function: str
    """``module:function``, called as function(spec, out, **arguments)."""
    spec_file: Path
    out: Path
    arguments: dict[str, Any]
    log: Path
    timeout: float
    """Seconds until the child is ended."""
    spec_sha256: str = ""
    """Of the spec file that the build has read; the child must find the same."""


def run_isolated(step: Isolated) -> dict[str, Any]:
    """Run it.

    Returns:
        ``result``: what the function returned; ``read``: files its code read -> sha256.

    Raises:
        NosError: whatever the step raised, as its own class.
        Refused: the child crashed, ran out of memory, or did not end in time.
        HostError: the disk is full.
        InternalError: the step raised what no step should.
    """
    alone = step.log.with_suffix(".sh")
    alone.unlink(missing_ok=True)  # an earlier failure's
    try:
        return _result(step)
    except NosError as error:
        _tell_where(step, alone, error)
        raise


def _result(step: Isolated) -> dict[str, Any]:
    request, result = step.out.parent / "request.json", step.out.parent / "result.json"
    request.write_text(
        json.dumps(
            {
                "function": step.function,
                "spec": str(step.spec_file),
                "spec_sha256": step.spec_sha256,
                "out": str(step.out),
                "arguments": step.arguments,
                "parent": os.getpid(),
            }
        ),
        encoding="utf-8",
    )
    step.log.parent.mkdir(parents=True, exist_ok=True)
    with step.log.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "nosbuild.steps.child", str(request), str(result)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its own children end with it
            env={**os.environ, **CHILD_ENVIRONMENT},
        )
        try:
            code = child.wait(step.timeout)
        except subprocess.TimeoutExpired:
            raise Refused(
                f"{step.function} did not end within {step.timeout:g} s; its log is {step.log}",
                "Raise --step-timeout, or look for an endless loop in the model or its samples.",
            ) from None
        finally:
            _end(child)
    answer = _answer(result)
    if answer is None:
        raise _died(step, code)
    if "error" in answer:
        if answer["error"]["type"] == "InternalError" and _is_full(step):
            raise _full(step)
        raise _error(answer["error"])
    found: dict[str, Any] = answer["result"]
    return found


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole session: itself where we are interrupted, what it left in any case."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(result: Path) -> dict[str, Any] | None:
    """What the child wrote; None where it ended before it had written all of it."""
    try:
        answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return answer


def _tell_where(step: Isolated, alone: Path, error: NosError) -> None:
    """Leave the script; name it and the log in the error's remedy."""
    from nosbuild.steps.reproduce import write_script

    if isinstance(error, SpecError):
        return  # lines of the model.yaml; how they were found does not help
    lines = [error.remedy]
    with suppress(HostError):  # no space for a script is no second error
        write_script(alone.parent, alone.stem, step)
        lines.append(f"This step alone: sh {shlex.quote(str(alone))}")
    if str(step.log) not in error.message:
        lines.append(f"Log: {step.log}")
    error.remedy = "\n".join(filter(None, lines))


def _is_full(step: Isolated) -> bool:
    return shutil.disk_usage(step.out).free < FULL_BELOW


def _full(step: Isolated) -> HostError:
    return HostError(
        f"{step.function} could not be finished: the disk that holds {step.out} is full",
        "Free some space and build again; nothing was published.",
    )


def _died(step: Isolated, code: int) -> NosError:
    if _is_full(step):
        return _full(step)
    lines = step.log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join(f"    {line}" for line in lines[-LOG_TAIL:])
    if code == -signal.SIGKILL:
        how = "was killed (out of memory?)"
    elif code < 0:
        how = f"crashed ({signal.Signals(-code).name})"
    else:
        how = f"ended with exit code {code} and no result"
    return Refused(
        f"{step.function} {how}. The end of its log {step.log}:\n{tail}",
        "If that is your own code, mend it there; otherwise please report it with this log.",
    )


def _error(described: dict[str, Any]) -> NosError:
    if described["type"] == "SpecError":
        problems = [SpecProblem(*row) for row in described["problems"]]
        return SpecError(described["file"], problems)
    return error_classes()[described["type"]](described["message"], described["remedy"])
