"""The options that name a server, and show it what it asks for, go in; a ``Server`` comes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nosbuild.runtime import ServiceRecord
    from nosbuild.runtime.server_access import Access

_PANEL = "The server"


@dataclass
class Server:
    """What was said of the server."""

    url: str
    """Empty where it is to be found."""
    access: Access
    found: ServiceRecord | None = None
    """The one that was found, where no url was given."""


def _options(
    url: Annotated[
        str,
        typer.Option(
            help="host:port (gRPC), http://host:port; grpcs:// or https:// with TLS. Found by "
            "itself where one runs on this machine.",
            envvar="NOSBUILD_URL",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = "",
    ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of the authority that signed its certificate.",
            metavar="FILE",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of your own certificate, where it asks for one.",
            metavar="FILE",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of that one's private key.", metavar="FILE", rich_help_panel=_PANEL
        ),
    ] = None,
    server_name: Annotated[
        str,
        typer.Option(
            help="The name in its certificate, where that is not the host of --url.",
            metavar="NAME",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            help="Bearer token. Better in the environment: the list of processes shows arguments.",
            envvar="NOSBUILD_TOKEN",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = "",
    header: Annotated[
        list[str] | None,
        typer.Option(
            help="Goes with each request (repeatable).",
            metavar="NAME=VALUE",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    restricted_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Key of a restricted API of Triton's (repeatable).",
            metavar="NAME=VALUE",
            rich_help_panel=_PANEL,
        ),
    ] = None,
) -> Server:
    from nosbuild.runtime.server_access import Access
    from nosclient import TLS

    tls = None
    if ca or cert or key or server_name:
        tls = TLS(ca=ca, certificate=cert, key=key, server_name=server_name or None)
    access = Access(
        tls=tls,
        token=token or None,
        headers=_pairs("--header", header or []),
        restricted_keys=_pairs("--restricted-key", restricted_key or []),
    )
    return Server(url, access)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    from nosbuild.errors import RequestError

    pairs = {}
    for place, text in enumerate(given, 1):
        name, equals, value = text.partition("=")
        if not (name and equals and value):  # not shown: it may be the secret itself
            raise RequestError(
                f"{option}, number {place}, is no name and value", f"Write {option} NAME=VALUE."
            )
        pairs[name] = value
    return pairs


def asks_a_server(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options above; it takes what they say as its first, ``server``."""

    def with_options(**given: Any) -> None:
        mine = {name: given.pop(name) for name in options}
        server = _options(**mine)
        from nosclient import NosClientError

        try:
            command(server, **given)
        except NosClientError as error:
            if server.found:  # who did not name it may have meant another
                # As add_note does it, which Python 3.10 lacks.
                error.__notes__ = [  # type: ignore[attr-defined, unused-ignore]
                    f"asked was {server.found.grpc_url}, which serves {server.found.repository}; "
                    "--url names another server"
                ]
            raise

    signature = inspect.signature(command, eval_str=True)
    options = inspect.signature(_options, eval_str=True, locals={"Access": Any}).parameters
    _, *own = signature.parameters.values()
    every = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own, *options.values())
    ]
    with_options.__name__ = command.__name__
    with_options.__doc__ = command.__doc__
    with_options.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
    return with_options
