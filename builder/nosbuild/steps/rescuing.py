"""A conversion that misses its bars goes in; the same with a few nodes left out of it comes out.

Attempts are judged on some of the samples; what is found is judged on all of them, and samples
that it misses join the others for another search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.errors import Refused
from nosbuild.export.saving import MODEL_FILE
from nosbuild.optimize.made import Made
from nosbuild.optimize.rescue import Budget, Rescue, Score, rescue
from nosbuild.plan import RunsOn
from nosbuild.verify.compare import Comparison
from nosbuild.verify.references import References
from nosbuild.verify.run import compare
from nosbuild.verify.runner import open_runner

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

JUDGED_ITEMS = 24
"""Samples that each attempt is judged on."""
SEARCHES = 3
"""The first, and those after samples were missed that it did not judge."""
BUDGET = Budget(attempts=40, seconds=120.0)
"""Of each search."""


@dataclass(frozen=True)
class Conversion:
    """A way to convert a model that can leave nodes out."""

    names: list[str]
    """Of the nodes that it would convert, in the graph's order."""
    attempt: Callable[[Path, frozenset[str]], Made]
    """Write a folder, keeping these; may be rougher than ``final`` where that is faster."""
    final: Callable[[Path, frozenset[str]], Made]


def rescue_conversion(
    spec: ModelSpec,
    out: Path,
    conversion: Conversion,
    references: References,
    runs_on: RunsOn,
) -> Made:
    """Write ``out/model.onnx``, with as few nodes as possible left as they were.

    Args:
        spec: with its tensors known.
        out: the folder to write into.
        conversion: what missed the bars.
        references: the source's answers to all samples.
        runs_on: what will run it.

    Raises:
        Refused: no set of nodes keeps to the bars.
    """
    judge = _Judge(spec, references, runs_on)
    chosen = _spread(len(references.items), JUDGED_ITEMS)
    attempts, found = 0, None
    for _ in range(SEARCHES):
        found = _search(conversion, judge, chosen)
        attempts += found.attempts
        if not found.holds:
            break
        made = conversion.final(out, frozenset(found.kept))
        missed = judge.missed(out)
        if not missed:
            cost = found.describe(len(conversion.names))
            return made.model_copy(
                update={
                    "how": f"{made.how}; rescued: {cost}",
                    "details": {**made.details, "rescue_attempts": attempts},
                }
            )
        chosen = sorted({*chosen, *missed})
    assert found is not None
    (out / MODEL_FILE).unlink(missing_ok=True)
    raise Refused(f"rescue: {found.describe(len(conversion.names))}", "Publish another precision.")


def _search(conversion: Conversion, judge: _Judge, chosen: Sequence[int]) -> Rescue:
    def attempt(keep: frozenset[str]) -> Score:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                conversion.attempt(Path(scratch), keep)
            except Refused:  # nothing is left to convert
                return Score(float("nan"))
            return Score(judge.margin(Path(scratch), chosen))

    return rescue(conversion.names, attempt, BUDGET)


@dataclass(frozen=True)
class _Judge:
    """Compares artifacts with the source, each sample alone."""

    spec: ModelSpec
    references: References
    runs_on: RunsOn

    def margin(self, artifact: Path, chosen: Sequence[int]) -> float:
        """The least margin of any bar on these samples; NaN where the artifact does not run."""
        items = [self.references.items[index] for index in chosen]
        return self._compared(artifact, replace(self.references, items=items)).margin()

    def missed(self, artifact: Path) -> list[int]:
        """The worst sample of every bar that does not hold on all of them."""
        findings = self._compared(artifact, self.references).findings()
        return sorted({finding.sample for finding in findings if not finding.holds})

    def _compared(self, artifact: Path, references: References) -> Comparison:
        comparison = Comparison(self.spec, self.spec.output_tensors or ())
        runner = open_runner(artifact, self.runs_on)
        compare(comparison, runner, references, (1,), bool(self.spec.is_batched))
        return comparison


def _spread(items: int, count: int) -> list[int]:
    """Indices spread evenly."""
    return sorted({round(index) for index in np.linspace(0, items - 1, min(count, items))})
