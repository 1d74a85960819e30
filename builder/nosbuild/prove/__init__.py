"""A published model goes in; its golden samples, replayed through a real Triton, come out judged.

Nothing is believed because it was proven before: the same bars, but through the server, over every
transport, alone and joined into batches with others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.prove.proof import ServedFinding, ServedProof, Way
    from nosbuild.prove.run import prove_served, prove_versions
    from nosbuild.prove.transports import Server

__all__ = ["ServedFinding", "ServedProof", "Server", "Way", "prove_served", "prove_versions"]

_HOME = {
    "ServedFinding": "proof",
    "ServedProof": "proof",
    "Server": "transports",
    "Way": "proof",
    "prove_served": "run",
    "prove_versions": "run",
}


def __getattr__(name: str) -> Any:
    # Lazy: the command line imports this room to print its help.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
