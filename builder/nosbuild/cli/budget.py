"""``nosbuild budget``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nosbuild.cli.server_options import Server, asks_a_server


@asks_a_server
def budget(
    server: Server,
    size: Annotated[
        str | None, typer.Argument(help="Of main memory, e.g. 4GiB.", metavar="[SIZE]")
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option(help="Of GPUs, by their numbers, e.g. 0:20GiB,1:20GiB.")
    ] = None,
) -> None:
    """Show what models that are loaded on demand may take together; or set it, from now on."""
    from nosbuild.cli.connect import connect
    from nosbuild.cli.manager_table import budget_line
    from nosbuild.cli.models import require_manager
    from nosbuild.runtime.memory_budget import budget_bytes, gpu_budgets
    from nosbuild.runtime.model_manager import ask_manager

    asked: dict[str, Any] = {}
    if size is not None:
        asked["bytes"] = budget_bytes(size)
    if gpu_memory is not None:
        asked["gpu_bytes"] = gpu_budgets(gpu_memory)
    client, _ = connect(server)
    with client:
        require_manager(client)
        told = ask_manager(client, "budget", timeout=30.0, **asked)
    typer.echo(budget_line(told))
