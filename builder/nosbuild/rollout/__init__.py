"""A new version of a served model goes in; it is proven beside the old one, and takes over or not.

No request is lost, and no request for the model is answered by what was not proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

if TYPE_CHECKING:
    from nosbuild.rollout.outcome import RollOut, settled
    from nosbuild.rollout.run import roll_out
    from nosbuild.rollout.server import RunningServer
    from nosbuild.rollout.serving import serve, watching

__all__ = ["RollOut", "RunningServer", "roll_out", "serve", "settled", "watching"]

_HOME = {
    "RollOut": "outcome",
    "RunningServer": "server",
    "roll_out": "run",
    "serve": "serving",
    "settled": "outcome",
    "watching": "serving",
}

__getattr__ = lazy_names(__name__, _HOME)
