"""Options of tritonserver go in; the keys of the APIs that they restrict come out.

Source of the format: Triton's "limit endpoint access", ``PROTOCOL,...:KEY=VALUE``,
https://github.com/triton-inference-server/server/blob/main/docs/customization_guide/inference_protocols.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_HTTP, _GRPC = "http-restricted-api", "grpc-restricted-protocol"


@dataclass(frozen=True)
class Restrictions:
    """Name -> value of the keys, which are nobody's to see but who started the server."""

    http: Mapping[str, str] = field(default_factory=dict, repr=False)
    grpc: Mapping[str, str] = field(default_factory=dict, repr=False)


def restrictions_of(options: Sequence[str]) -> Restrictions:
    """Those of ``--http-restricted-api=...`` and ``--grpc-restricted-protocol=...``."""
    return Restrictions(_keys(options, _HTTP), _keys(options, _GRPC))


def _keys(options: Sequence[str], wanted: str) -> dict[str, str]:
    keys = {}
    for option, following in zip(options, [*options, ""][1:], strict=True):
        name, has_equals, restricted = option.lstrip("-").partition("=")
        restricted = restricted if has_equals else following  # in an element of its own
        key, has_value, value = restricted.partition(":")[2].partition("=")
        if name == wanted and has_value:
            keys[key] = value
    return keys
