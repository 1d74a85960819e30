"""Errors go in; one clear message and an exit code come out."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

import typer

from nosbuild.cli.messages import message_lines
from nosbuild.cli.option_words import in_options
from nosbuild.errors import HostError, InputError, InternalError, NosError

INTERRUPTED = 130
"""As shells report a process that Ctrl-C ended."""
TERMINATED = 143
"""The same for ``kill``."""


def run(app: typer.Typer) -> None:
    """Run the command line; our own errors end it without a traceback, bugs with one."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except InternalError:
        raise
    except NosError as error:
        _report(type(error).__name__, error.message, error.remedy, error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        # A client's error can only come from a client that is imported; --help imports none.
        client = sys.modules.get("nosclient")
        if client is None or not isinstance(error, client.NosClientError):
            raise
        gone = isinstance(error, (client.ServerUnavailable, client.DeadlineExceeded))
        code = HostError.exit_code if gone else InputError.exit_code
        remedy = "\n".join(getattr(error, "__notes__", ()))
        _report(type(error).__name__, in_options(str(error)), remedy, code)


def _terminated(number: int, frame: FrameType | None) -> None:
    """Unwind, so that child processes are ended and half-written files removed."""
    sys.exit(TERMINATED)


def _report(kind: str, message: str, remedy: str, code: int) -> None:
    if "--json" in sys.argv:
        described = {"type": kind, "message": message, "remedy": remedy, "exit_code": code}
        typer.echo(json.dumps({"error": described}))
    else:
        found, helps = message_lines("error:", message, remedy)
        typer.secho("\n".join(found), fg="red", err=True)
        for line in helps:
            typer.echo(line, err=True)
    sys.exit(code)
