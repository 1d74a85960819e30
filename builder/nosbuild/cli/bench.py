"""``nosbuild bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nosbuild.cli.options import AsJson
from nosbuild.cli.server_options import Server, asks_a_server

if TYPE_CHECKING:
    from nosbuild.bench import BenchResult, Level
    from nosbuild.runtime import ServiceRecord

_CONCURRENCY = "1,8,32"


@asks_a_server
def bench(
    server: Server,
    name: Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")],
    concurrency: Annotated[
        str,
        typer.Option(
            "--concurrency",
            "-c",
            help="Callers, each of which sends its next request when the last one is answered; "
            rf"several numbers, one after the other. \[default: {_CONCURRENCY}, without --rate]",
            show_default=False,
        ),
    ] = "",
    rate: Annotated[
        str,
        typer.Option(
            help="Requests a second that leave whether or not earlier ones are answered; several "
            "numbers likewise.",
            show_default=False,
        ),
    ] = "",
    poisson: Annotated[
        bool, typer.Option("--poisson", help="With --rate: as from many independent users.")
    ] = False,
    duration: Annotated[float, typer.Option(help="Seconds measured for each load.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of it before, not counted.")] = 2.0,
    batch: Annotated[int, typer.Option(help="Items in each request.")] = 1,
    protocol: Annotated[
        Literal["grpc", "http"] | None,
        typer.Option(help=r"\[default: grpc, or what --url says]", show_default=False),
    ] = None,
    shared_memory: Annotated[
        bool,
        typer.Option(
            "--shared-memory", help="Tensors of 64 KiB and more through memory that Triton maps."
        ),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with plots, too.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put load on a model of the running server and print how fast it answers."""
    from nosbuild.bench import BenchInterrupted
    from nosbuild.bench import bench as measure
    from nosbuild.cli.connect import connect
    from nosbuild.cli.exits import INTERRUPTED
    from nosbuild.cli.printing import progress
    from nosbuild.errors import HostError

    levels = [
        *_closed(concurrency or ("" if rate else _CONCURRENCY)),
        *_open(rate, poisson),
    ]
    access = server.access
    client, record = connect(server, name)
    client.close()
    if html:
        _writable(html)
    console = progress()
    with console.status("starting") as status:

        def say(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, soft_wrap=True)

        interrupted = False
        try:
            found = measure(
                _address(server.url, record, protocol),
                name,
                levels,
                duration=duration,
                warmup=warmup,
                batch=batch,
                shared_memory=shared_memory,
                tls=access.tls,
                token=access.token,
                headers=access.headers,
                restricted_keys=access.restricted_keys,
                on_progress=say,
            )
        except BenchInterrupted as partial:
            found, interrupted = partial.found, True
    if html:
        _write_page(html, found)
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(found.as_json())
        if found.failure:
            raise typer.Exit(INTERRUPTED if interrupted else HostError.exit_code)
        return
    from nosbuild.cli.load_table import print_loads

    print_loads(found)
    if interrupted:
        typer.echo(f"{found.failure}; what is shown is partial", err=True)
        raise typer.Exit(INTERRUPTED)
    if found.failure:
        raise HostError(found.failure, "Look into Triton's log, then measure again.")


def _closed(text: str) -> list[Level]:
    from nosbuild.bench import Level

    return [Level(concurrency=int(n)) for n in _numbers(text, int, "--concurrency", "1,8,32")]


def _open(text: str, poisson: bool) -> list[Level]:
    from nosbuild.bench import Level
    from nosbuild.errors import RequestError

    if poisson and not text:
        raise RequestError(
            "--poisson is for --rate: callers wait for their answers", "Write --rate 100 --poisson."
        )
    arrivals: Literal["poisson", "constant"] = "poisson" if poisson else "constant"
    return [
        Level(rate=float(n), arrivals=arrivals) for n in _numbers(text, float, "--rate", "100,200")
    ]


def _numbers(text: str, kind: type[int | float], option: str, example: str) -> list[int | float]:
    """Each above 0.

    Raises:
        RequestError: something else.
    """
    from nosbuild.errors import RequestError

    found = []
    for part in text.split(",") if text else ():
        try:
            number = kind(part)
        except ValueError:
            raise RequestError(
                f"{option} {text}: {part!r} is no number", f"Write {option} {example}."
            ) from None
        if not 0 < number < float("inf"):
            raise RequestError(f"{option} {text}: {part} sends nothing", "Give numbers above 0.")
        found.append(number)
    return found


def _address(url: str, record: ServiceRecord | None, protocol: str | None) -> str:
    """The server's url for the protocol.

    Raises:
        RequestError: another server's url speaks the other one.
    """
    from nosbuild.errors import RequestError

    said = "http" if url.startswith(("http://", "https://")) else "grpc"
    if record and (not url or (protocol and protocol != said)):
        return record.http_url if protocol == "http" else record.grpc_url
    if protocol and protocol != said:
        raise RequestError(
            f"{url} is a url for {said}, not {protocol}",
            f"Give the server's port for it: --url {protocol}://host:port",
        )
    return url


def _writable(path: Path) -> None:
    """Found out before the measuring, not after it."""
    from nosbuild.errors import HostError

    if path.is_dir() or not path.parent.is_dir():
        raise HostError(
            f"{path} cannot be written: " + ("a folder" if path.is_dir() else "no such folder"),
            "Name a file in a folder that is there, e.g. --html bench.html.",
        )


def _write_page(path: Path, found: BenchResult) -> None:
    from nosbuild.bench import render_page
    from nosbuild.store.host_errors import host_errors

    with host_errors(f"{path} could not be written", "Name another file."):
        path.write_text(render_page(found), encoding="utf-8")
