"""A conversion that misses its bars goes in; the same with a few nodes left out of it comes out.

Attempts are judged on some of the samples; what is found is judged on all of them, and samples
that it misses join the others for another search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nosbuild.errors import Refused
from nosbuild.export.saving import MODEL_FILE
from nosbuild.optimize.made import Made
from nosbuild.optimize.rescue import Budget, Rescue, Score, rescue
from nosbuild.plan import RunsOn
from nosbuild.verify.compare import Comparison
from nosbuild.verify.references import References, spread
from nosbuild.verify.run import alone
from nosbuild.verify.runner import open_runner

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

JUDGED_ITEMS = 96
"""Samples that each attempt is judged on."""
SEARCHES = 3
"""The first, and those after samples were missed that it did not judge."""
BUDGET = Budget(attempts=45, seconds=180.0)
"""Of each search."""


@dataclass(frozen=True)
class Conversion:
    """A way to convert a model that can leave nodes out."""

    names: list[str]
    """Of the nodes that it would convert, in the graph's order."""
    attempt: Callable[[Path, frozenset[str]], object]
    """Write ``model.onnx`` into a folder, keeping these; what is judged, and no more."""
    final: Callable[[Path, frozenset[str]], Made]
    """Write what is published, keeping these."""
    costs: Mapping[str, float] | None = None
    """What keeping a node gives up; None where all are alike."""


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
    chosen = spread(len(references.items), JUDGED_ITEMS)
    attempts, why = 0, ""
    for _ in range(SEARCHES):
        found = _search(conversion, judge, chosen)
        attempts += found.attempts
        why = found.describe(len(conversion.names))
        if not found.holds:
            break
        made = conversion.final(out, frozenset(found.kept))
        missed = judge.missed(out)
        if not missed:
            return made.model_copy(
                update={
                    "how": f"{made.how}; rescued: {why}",
                    "details": {**made.details, "rescue_attempts": attempts},
                }
            )
        why = f"keeping {len(found.kept)} nodes still misses a bar on sample {missed[0]}"
        if set(missed) <= set(chosen):
            break  # judged already: what is published rounds otherwise than what was judged
        chosen = sorted({*chosen, *missed})
    (out / MODEL_FILE).unlink(missing_ok=True)
    raise Refused(f"rescue: {why}", "Publish another precision.")


def _search(conversion: Conversion, judge: _Judge, chosen: Sequence[int]) -> Rescue:
    def attempt(keep: frozenset[str]) -> Score:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                conversion.attempt(Path(scratch), keep)
            except Refused:  # nothing is left to convert
                return Score(float("nan"))
            return judge.score(Path(scratch), chosen)

    return rescue(conversion.names, attempt, BUDGET, conversion.costs)


@dataclass(frozen=True)
class _Judge:
    """Compares artifacts with the source, each sample alone."""

    spec: ModelSpec
    references: References
    runs_on: RunsOn

    def score(self, artifact: Path, chosen: Sequence[int]) -> Score:
        """The least margin of any bar on these samples, and their mean error beside the answer."""
        comparison, error = self._compared(artifact, chosen)
        return Score(comparison.margin(), error)

    def missed(self, artifact: Path) -> list[int]:
        """The worst sample of every bar that does not hold on all of them."""
        comparison, _ = self._compared(artifact, range(len(self.references.items)))
        return sorted({f.sample for f in comparison.findings() if not f.holds})

    def _compared(self, artifact: Path, chosen: Sequence[int]) -> tuple[Comparison, float]:
        comparison = Comparison(self.spec, self.spec.output_tensors or ())
        runner = open_runner(artifact, self.runs_on)
        batched = bool(self.spec.is_batched)
        errors = []
        for index in chosen:
            item = self.references.items[index]
            found = runner.run(alone(item.inputs, batched))
            wanted = alone(item.outputs, batched)
            comparison.add(found, wanted, [index])
            errors += [_error(found[name], array) for name, array in wanted.items()]
        return comparison, float(np.mean(errors))


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Squared, beside the square of the answer; the share that differs for what is no float."""
    if wanted.dtype.kind != "f":
        return float((found != wanted).mean()) if wanted.size else 0.0
    exact = wanted.astype(np.float64)
    difference = np.square(found.astype(np.float64) - exact).sum()
    return float(difference / max(np.square(exact).sum(), np.finfo(np.float64).tiny))
