"""``nosbuild prove``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson

if TYPE_CHECKING:
    from nosbuild.runtime import ServiceRecord


def prove(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of built models, or their folders; without any, every one of them.",
            metavar="[MODEL]...",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[
        Path, typer.Option("--repository", "-r", help="The repository that holds them.")
    ] = DEFAULT_REPOSITORY,
    url: Annotated[
        str,
        typer.Option(
            help="A service of this machine that asks for nothing, in place of one started for it."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Replay the golden samples of built models through a real Triton."""
    from nosbuild.cli.served_proofs import proofs_of
    from nosbuild.errors import Refused

    if url:
        running = _service(url)
        names = [Path(model).name for model in models or ()] or None
        proofs = proofs_of({Path(running.repository): names}, running)
    else:
        proofs = proofs_of(_by_repository(models or [], repository))
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json([proof.as_json() for proof in proofs])
    else:
        from nosbuild.cli.served_proofs import print_proofs

        print_proofs(proofs)
    if not all(proof.passed for proof in proofs):
        raise typer.Exit(Refused.exit_code)


def _service(url: str) -> ServiceRecord:
    """The running service of that url.

    Raises:
        HostError: none of this machine has it.
    """
    from nosbuild.errors import HostError
    from nosbuild.runtime import running_services

    services = running_services()
    for record in services:
        if url in (record.grpc_url, record.http_url):
            return record
    known = ", ".join(record.grpc_url for record in services) or "none runs"
    raise HostError(
        f"no service of this machine listens at {url} ({known})",
        "Leave --url out: a Triton is then started for the proof.",
    )


def _by_repository(models: list[str], repository: Path) -> dict[Path, list[str] | None]:
    """Repository -> the models named in it, each once; None for all of them."""
    if not models:
        return {repository: None}
    found: dict[Path, list[str] | None] = {}
    for text in models:
        # Not Path.resolve: a linked folder has the name under which Triton sees it.
        path = Path(os.path.abspath(text))  # noqa: PTH100
        if any((path / file).is_file() for file in ("config.pbtxt", "model.yaml")):
            folder, name = path.parent, path.name
        elif any(path.glob("*/config.pbtxt")):
            found[path] = None
            continue
        else:
            folder, name = repository, text
        names = found.setdefault(folder, [])
        if names is not None and name not in names:
            names.append(name)
    return found
