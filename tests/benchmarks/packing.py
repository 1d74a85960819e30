"""How many GPUs `nosbuild plan` takes, beside the fewest that can do: 200 random problems.

Four kinds of models on cards of 80 GiB (tests/placement/packing_problems.py), without the solver,
and with it where OR-tools is installed. The optimum is found by a search of its own. The last line
is JSON; the solver's figures are null where it is not installed:

    {"optimum": 648, "decreasing_ratio": 1.0, "decreasing_worst": 1.0, "solver_ratio": 1.0, ...}
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "placement"))
from exact_packing import fewest_bins
from packing_problems import GIB, ROOM, pieces, problems

from nosbuild.placement.cp_sat import solver_name
from nosbuild.placement.pack import DECREASING, pack
from nosbuild.placement.packing import Problem

PROBLEMS = 200
SEED = 6


def main() -> None:
    """Pack them all, print a table and one line of JSON."""
    drawn = [(kind, one, fewest_bins(pieces(one), ROOM)) for kind, one in problems(PROBLEMS, SEED)]
    figures: dict[str, Any] = {"problems": PROBLEMS, "optimum": sum(best for *_, best in drawn)}
    table = Table(box=None, header_style="dim")
    for column in ("", "kind", "GPUs", "optimum", "ratio", "worst", "proven", "slowest s"):
        table.add_column(column, no_wrap=True)
    for name, solver in (("decreasing", False), ("solver", True)):
        print(f"{name}: {(solver_name() or 'not installed') if solver else DECREASING}")
        if solver and not solver_name():
            figures |= {f"{name}_{figure}": None for figure in ("ratio", "worst", "proven")}
            continue
        rows = packed(drawn, solver=solver)
        for kind, row in rows.items():
            table.add_row(name, kind, *shown(row))
        every = [one for row in rows.values() for one in row]
        figures[f"{name}_ratio"] = round(ratio(every), 4)
        figures[f"{name}_worst"] = round(max(used / best for used, best, *_ in every), 3)
        figures[f"{name}_proven"] = sum(proven for *_, proven, _ in every)
    Console().print(table)
    example = Fraction(3 * GIB, 80 * GIB)
    print(json.dumps({**figures, "three_gib_of_eighty": str(example)}))


def packed(
    drawn: list[tuple[str, Problem, int]], *, solver: bool
) -> dict[str, list[tuple[int, int, bool, float]]]:
    """Kind -> (GPUs, the fewest that can do, proven, seconds) of each problem."""
    found = defaultdict(list)
    for kind, problem, best in drawn:
        start = time.perf_counter()
        done = pack(problem, solver=solver)
        seconds = time.perf_counter() - start
        assert done.counts is not None
        found[kind].append((len(done.counts), best, done.is_proven, seconds))
    return found


def ratio(rows: list[tuple[int, int, bool, float]]) -> float:
    """GPUs taken over those that can do, all together."""
    return sum(used for used, *_ in rows) / sum(best for _, best, *_ in rows)


def shown(rows: list[tuple[int, int, bool, float]]) -> list[str]:
    """The cells of a kind."""
    return [
        str(sum(used for used, *_ in rows)),
        str(sum(best for _, best, *_ in rows)),
        f"{ratio(rows):.4f}",
        f"{max(used / best for used, best, *_ in rows):.3f}",
        f"{sum(proven for *_, proven, _ in rows)} of {len(rows)}",
        f"{max(seconds for *_, seconds in rows):.2f}",
    ]


if __name__ == "__main__":
    main()
