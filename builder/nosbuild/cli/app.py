"""The table of commands. Each module imports what it needs inside its function, so that
``nosbuild --help`` waits for none of it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nosbuild.cli.bench import bench
from nosbuild.cli.budget import budget
from nosbuild.cli.build import build
from nosbuild.cli.cache import cache
from nosbuild.cli.check import check
from nosbuild.cli.diff import diff
from nosbuild.cli.doctor import doctor
from nosbuild.cli.env import env
from nosbuild.cli.hub import hub
from nosbuild.cli.ls import ls
from nosbuild.cli.models import load, pin, scale, unload, unpin
from nosbuild.cli.new import new
from nosbuild.cli.package import package
from nosbuild.cli.plan import plan
from nosbuild.cli.prove import prove
from nosbuild.cli.run import run
from nosbuild.cli.runtimes import runtimes
from nosbuild.cli.schema import schema
from nosbuild.cli.serve import serve
from nosbuild.cli.status import status

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A model.yaml goes in, a proven Triton endpoint comes out.",
    epilog="Exit codes: 0 done, 2 usage, 3 bad input, 4 not proven, 5 this machine lacks "
    "something, 1 a bug.",
)


def _version(asked: bool) -> None:
    if asked:
        from nosbuild import __version__

        typer.echo(f"nosbuild {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for _panel, _commands in (
    ("Make", (new, build, prove, check, hub)),
    (
        "Serve",
        (serve, ls, plan, status, run, bench, load, unload, pin, unpin, scale, budget, package),
    ),
    ("Look", (diff, doctor, runtimes, schema)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(cache, name="cache", rich_help_panel="Look")
app.add_typer(env, name="env", rich_help_panel="Look")
