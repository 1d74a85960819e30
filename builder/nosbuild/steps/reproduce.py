"""A step goes in; a shell script that runs it alone comes out, and this module runs what it asks.

Run as ``python -m nosbuild.steps.reproduce REQUEST.json [OUT]``: in the foreground, so that a
debugger works, into a folder of its own. What earlier steps made is read from the build cache;
nothing is written there, nor to the repository.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError, InputError, NosError
from nosbuild.steps.isolate import CHILD_ENVIRONMENT, Isolated
from nosbuild.store.folders import CACHE_VARIABLE, cache_folder, steps_folder
from nosbuild.store.host_errors import host_errors
from nosbuild.store.in_use import use
from nosbuild.store.record import RECORD

_FOLLOWED = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "PYTHONPATH",
)
"""Variables of the build that decide what a step finds and does."""

_OURS = "-m nosbuild.steps.reproduce "
"""Stands in our scripts; others are the user's."""

_SCRIPT = """\
#!/bin/sh
# Runs the step {step} of {model} alone, as the build ran it:
#
#     sh {name} [OUT]
#
# What it makes goes to OUT, a new folder, or to one in the folder for temporary files. Its result
# is printed as JSON; all else that is printed goes to standard error, and breakpoint() works.
# Nothing else is changed. What earlier steps made is taken from the build cache.
set -eu
{variables}
exec {python} -m nosbuild.steps.reproduce /dev/fd/3 "$@" 3<<'END_OF_REQUEST'
{request}
END_OF_REQUEST
"""


def write_script(folder: Path, step: str, request: Isolated) -> Path:
    """Write ``folder/<step>.sh``; one that says the same already is left as it is.

    Args:
        folder: made if it is not there.
        step: its name, e.g. ``prove onnx-int8``; what is no part of a file name becomes ``-``.
        request: the step; its ``out``, ``log`` and ``timeout`` do not matter.

    Raises:
        HostError: it cannot be written.
    """
    script = folder / script_name(step)
    described = {
        "function": request.function,
        "spec": str(request.spec_file.absolute()),
        "arguments": request.arguments,
        "cache": str(steps_folder()),
        "directory": str(Path.cwd()),
    }
    variables = {name: os.environ[name] for name in _FOLLOWED if name in os.environ}
    variables |= {CACHE_VARIABLE: str(cache_folder()), **CHILD_ENVIRONMENT}
    text = _SCRIPT.format(
        step=json.dumps(step),
        model=json.dumps(request.spec_file.parent.name),
        name=script.name,
        variables="\n".join(f"export {key}={shlex.quote(variables[key])}" for key in variables),
        python=shlex.quote(sys.executable),
        request=json.dumps(described, indent=1),
    )
    with host_errors(f"{script} cannot be written", "Change the rights of its folder."):
        if not (script.is_file() and script.read_text(encoding="utf-8") == text):
            folder.mkdir(parents=True, exist_ok=True)
            written = script.with_name(f".{script.name}.{os.getpid()}")
            written.write_text(text, encoding="utf-8")
            written.chmod(0o755)
            written.replace(script)
    return script


def keep_scripts(folder: Path, steps: list[str]) -> None:
    """Remove the scripts of all other steps: an earlier build's.

    Raises:
        HostError: they cannot be removed.
    """
    kept = {script_name(step) for step in steps}
    with host_errors(f"{folder} cannot be tidied", "Change the rights of what is in there."):
        for script in folder.glob("*.sh"):
            if script.name not in kept and _OURS in script.read_text(encoding="utf-8"):
                script.unlink()


def script_name(step: str) -> str:
    """``prove-onnx-int8.sh``."""
    return f"{re.sub(r'[^A-Za-z0-9._]+', '-', step).strip('-.') or 'step'}.sh"


def main(request_file: str, out: str = "") -> None:
    """Run the step and print its result."""
    from nosbuild.steps.child import run_request

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    made = _out_folder(out, request["function"].partition(":")[2])
    held = list(_inputs(request))
    if Path(request["directory"]).is_dir():
        os.chdir(request["directory"])  # the model's code may name files relative to it
    answers = os.dup(1)
    os.dup2(2, 1)  # native code prints too
    print(f"into {made}", file=sys.stderr)  # noqa: T201 - a script's output
    answer = run_request({**request, "out": str(made)})
    with os.fdopen(answers, "w", encoding="utf-8") as file:
        file.write(json.dumps({"out": str(made), **answer}, indent=1) + "\n")
    for descriptor in held:
        os.close(descriptor)


def _out_folder(out: str, step: str) -> Path:
    if not out:
        return Path(tempfile.mkdtemp(prefix=f"nosbuild-{step}-"))
    folder = Path(out).absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{out} is there already", "Name a new folder, or an empty one.")
    with host_errors(f"{out} cannot be made", "Name a folder that you may write to."):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _inputs(request: dict[str, Any]) -> Iterator[int]:
    """Keep what earlier steps made in use."""
    cache = Path(request["cache"])
    for path in _paths(request["arguments"]):
        if not path.is_relative_to(cache) or path == cache:
            continue
        descriptor = use(cache / path.relative_to(cache).parts[0] / RECORD)
        if descriptor is None or not path.exists():
            raise HostError(
                f"{path}, which an earlier step made, is not in the build cache any more",
                f"Make it again: nosbuild build {Path(request['spec']).parent}",
            )
        yield descriptor


def _paths(value: Any) -> Iterator[Path]:
    """Every absolute path among the arguments."""
    if isinstance(value, str) and value.startswith("/"):
        yield Path(value)
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _paths(part)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except NosError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - as above
        sys.exit(error.exit_code)
