"""One step, alone in a process of its own: a request file goes in, a result file comes out.

Run as ``python -m nosbuild.steps.child REQUEST RESULT``. The user's code and the heavy libraries
run here, so that a crash, a leak or an endless loop in them cannot take the build along.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from nosbuild.errors import HostError, InputError, InternalError, NosError, SpecError
from nosbuild.store.host_errors import host_reason

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def main(request_file: str, result_file: str) -> None:
    """Run the requested step function and write what it returned, or what it raised."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    _end_with(request["parent"])
    try:
        answer = json.dumps({"result": run_request(request)})
    except Exception as exc:  # noqa: BLE001 - whatever it is, the parent is told
        traceback.print_exc()
        known = exc if isinstance(exc, NosError) else _unexpected(request["function"], exc)
        answer = json.dumps({"error": _described(known)})
    Path(result_file).write_text(answer, encoding="utf-8")


def run_request(request: dict[str, Any]) -> dict[str, Any]:
    """Call the function ``request`` names.

    Args:
        request: ``function`` (``module:function``), ``spec`` and ``out`` (paths), ``arguments``.

    Returns:
        ``result``: what the function returned; ``read``: files its code read -> sha256.
    """
    from nosbuild.spec import load_spec
    from nosbuild.store.reads import recorded_reads

    module, function = request["function"].split(":")
    step = getattr(importlib.import_module(module), function)
    spec = load_spec(Path(request["spec"]))
    expected = request.get("spec_sha256")
    if expected and spec.text_sha256 != expected:
        raise InputError(
            f"{spec.file} was changed while it was being built",
            "Build again; nothing was published.",
        )
    out = Path(request["out"])
    random.seed(0)
    np.random.seed(0)  # scikit-learn draws from the global generator
    with recorded_reads(spec.folder, out) as read:
        result = step(spec, out, **request["arguments"])
    return {"result": result, "read": read}


def _end_with(parent: int) -> None:
    """Ask Linux to end this process with the build, even where that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the build has ended")


def _unexpected(function: str, exc: Exception) -> NosError:
    """What the user's code raises comes as one of our errors: anything else is this machine's
    doing, or our own.
    """
    if isinstance(exc, MemoryError):
        return HostError(f"{function} ran out of memory", "Free some memory and build again.")
    if isinstance(exc, OSError) and (reason := host_reason(exc)):
        return HostError(
            f"{function} could not be finished: {reason} ({exc.filename or exc})",
            "Mend that, then build again; nothing was published.",
        )
    return InternalError(
        f"{function} raised {type(exc).__name__}: {exc}",
        "This is a bug in nosbuild: please report it with this log.",
    )


def _described(exc: NosError) -> dict[str, Any]:
    if isinstance(exc, SpecError):
        problems = [[p.key, p.found, p.remedy, p.line] for p in exc.problems]
        return {"type": "SpecError", "file": exc.file, "problems": problems}
    return {"type": type(exc).__name__, "message": exc.message, "remedy": exc.remedy}


if __name__ == "__main__":
    main(*sys.argv[1:])
