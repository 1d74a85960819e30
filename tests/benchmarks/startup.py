"""How long people wait for ``nosbuild --help`` and programs for ``import nosclient``.

Beside a bare ``python -c pass`` of the same interpreter, in turns, since machines differ.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

TURNS = 9
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import nosclient": [sys.executable, "-c", "import nosclient"],
    "nosbuild --help": [str(Path(sys.executable).with_name("nosbuild")), "--help"],
}


def main() -> None:
    """Measure, print a table and one line of JSON."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(TURNS):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    table = Table(box=None, header_style="dim")
    for column in ("", "median s", "slowest s"):
        table.add_column(column)
    for name, taken in times.items():
        table.add_row(name, f"{medians[name]:.3f}", f"{max(taken):.3f}")
    Console().print(table)
    figures = {
        "python_s": round(medians["python -c pass"], 3),
        "import_nosclient_s": round(medians["import nosclient"], 3),
        "nosbuild_help_s": round(medians["nosbuild --help"], 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
