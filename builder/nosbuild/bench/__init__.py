"""A running model goes in; how fast it answers under load comes out.

The load comes from processes of its own, through ``nosclient``, as users send it: what is measured
is what they get, and neither this process nor its interpreter lock stands in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nosbuild.lazy import lazy_names

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

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
