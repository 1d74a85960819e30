"""A running model goes in; how fast it answers under load comes out.

The load comes from processes of its own, through ``nosclient``, as users send it: what is measured
is what they get, and neither this process nor its interpreter lock stands in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosbuild.bench.level import Level
    from nosbuild.bench.page import render_page
    from nosbuild.bench.result import BenchResult, LevelResult
    from nosbuild.bench.run import BenchInterrupted, bench

__all__ = ["BenchInterrupted", "BenchResult", "Level", "LevelResult", "bench", "render_page"]

_HOME = {
    "BenchInterrupted": "run",
    "BenchResult": "result",
    "Level": "level",
    "LevelResult": "result",
    "bench": "run",
    "render_page": "page",
}


def __getattr__(name: str) -> Any:
    # Lazy: the command line imports this room to print its help.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
