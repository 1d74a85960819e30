"""A published model goes in; its golden samples, replayed through a real Triton, come out judged.

Nothing is believed because it was proven before: the same bars, but through the server, over every
transport, alone and joined into batches with others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

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

__getattr__ = lazy_names(__name__, _HOME)
