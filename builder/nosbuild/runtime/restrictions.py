"""Options of tritonserver go in; the keys of the APIs that they restrict come out, and the options
that leave loading and unloading to the model manager.

Source of the format: Triton's "limit endpoint access", ``PROTOCOL,...:KEY=VALUE``,
https://github.com/triton-inference-server/server/blob/main/docs/customization_guide/inference_protocols.md
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_HTTP, _GRPC = "http-restricted-api", "grpc-restricted-protocol"
_REPOSITORY = "model-repository"
"""The API of the index, of loading and of unloading."""
_KEY = "nosbuild-manager"
"""Name of the key that the manager has; in HTTP, that of the header."""


@dataclass(frozen=True)
class Restrictions:
    """Name -> value of the keys, which are nobody's to see but who started the server."""

    http: Mapping[str, str] = field(default_factory=dict, repr=False)
    grpc: Mapping[str, str] = field(default_factory=dict, repr=False)

    def grpc_keys_for(self, host: str) -> dict[str, str]:
        """Those that a client at that address of this machine shows.

        The manager's is not among them where the address is one of a network: a client warns of
        keys that it sends there without TLS, and needs this one for nothing, since it may ask the
        manager.
        """
        is_local = host == "localhost" or host.startswith("127.") or host == "::1"
        return {name: value for name, value in self.grpc.items() if is_local or name != _KEY}


def restrictions_of(options: Sequence[str]) -> Restrictions:
    """Those of ``--http-restricted-api=...`` and ``--grpc-restricted-protocol=...``."""
    return Restrictions(_keys(options, _HTTP), _keys(options, _GRPC))


def only_for_the_manager(options: Sequence[str]) -> list[str]:
    """Options that let only who has a key, new each time, load and unload.

    Args:
        options: the user's, who may have restricted that already, over one protocol or both: then
            theirs holds there. Triton does not start where an API is restricted twice.
    """
    value = secrets.token_urlsafe(32)
    return [
        f"--{name}={_REPOSITORY}:{_KEY}={value}"
        for name in (_HTTP, _GRPC)
        if not any(_REPOSITORY in apis for apis, _, _ in _restricted(options, name))
    ]


def words_with_keys(options: Sequence[str]) -> list[str]:
    """Those words of a command line that hold the value of a key, at their end."""
    kept = []
    for name in (_HTTP, _GRPC):
        for apis, key, value in _restricted(options, name):
            restricted = f"{','.join(apis)}:{key}={value}"
            kept += [word for word in options if word.endswith(restricted)]
    return kept


def _keys(options: Sequence[str], wanted: str) -> dict[str, str]:
    return {key: value for _, key, value in _restricted(options, wanted)}


def _restricted(options: Sequence[str], wanted: str) -> Iterator[tuple[list[str], str, str]]:
    """APIs that are restricted together, the key's name and its value."""
    for option, following in zip(options, [*options, ""][1:], strict=True):
        name, has_equals, restricted = option.lstrip("-").partition("=")
        restricted = restricted if has_equals else following  # in an element of its own
        apis, _, pair = restricted.partition(":")
        key, has_value, value = pair.partition("=")
        if name == wanted and has_value:
            yield apis.split(","), key, value
