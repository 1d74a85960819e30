"""A packing problem whose instances do not all fit goes in; what is missing, and what would help,
come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from nosbuild.placement.cp_sat import EXTRA, solver_name
from nosbuild.placement.decreasing import pack_into
from nosbuild.placement.lower_bound import at_least
from nosbuild.placement.packing import BILLION, Item, Problem
from nosbuild.report.units import counted, gibibytes, percent, significant
from nosbuild.spec.problems import listed


@dataclass(frozen=True)
class Missing:
    """Why not everything fits."""

    sentences: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    """What would help, a sentence each."""
    left_out: tuple[str, ...] = ()
    """Models without which the others fit."""
    would_do: int | None = None
    """GPUs that would do, as far as is known: these and more of the largest; None for no number."""


def what_is_missing(problem: Problem, *, proven: bool) -> Missing:
    """Explain why not everything fits.

    Args:
        problem: what was to be packed.
        proven: there is no way to fit it, rather than none that was found.
    """
    too_large = [item for item in problem.items if not _fits_alone(item, problem)]
    left_out = _left_out(problem, too_large)
    would_do = None if too_large else _would_do(problem)
    sentences = [*(_too_large(item, problem) for item in too_large)]
    if not too_large:
        sentences += _too_little(problem, proven)
    advice = []
    if would_do is not None:
        more = would_do - len(problem.sizes)
        advice.append(f"{counted(would_do, 'GPU')} would do: these, and {more} more of the largest")
    if left_out:
        names = listed([f"{item.name} ({_each(item)})" for item in left_out])
        others = len(problem.items) > len(left_out)
        advice.append(f"without {names} the others fit" if others else f"left out: {names}")
    names_out = tuple(item.name for item in left_out)
    return Missing(tuple(sentences), tuple(advice), names_out, would_do)


def _each(item: Item) -> str:
    return f"{counted(item.count, 'instance')} of {gibibytes(item.size)}"


def _fits_alone(item: Item, problem: Problem) -> bool:
    return item.size <= max(problem.sizes) and item.time <= problem.time


def _too_large(item: Item, problem: Problem) -> str:
    largest = max(problem.sizes)
    return (
        f"an instance of {item.name} needs {gibibytes(item.size)}, and the largest GPU has "
        f"{gibibytes(largest)} for it: {gibibytes(item.size - largest)} too little"
    )


def _too_little(problem: Problem, proven: bool) -> Iterator[str]:
    needed = sum(piece.size for piece in problem.pieces)
    there = sum(problem.sizes)
    gpus = counted(len(problem.sizes), "GPU")
    if needed > there:
        yield (
            f"{gibibytes(needed - there)} too little: all instances need {gibibytes(needed)}, and "
            f"{gpus} {_have(problem)} {gibibytes(there)} for them"
        )
    time = sum(piece.time for piece in problem.pieces)
    if time > len(problem.sizes) * problem.time:
        short = time / problem.time - len(problem.sizes)
        yield (
            f"{significant(short)} GPUs' time too little: the rates ask for "
            f"{significant(time / problem.time)} GPUs in use to {percent(problem.time / BILLION)} "
            "(--utilisation)"
        )
    if needed <= there and time <= len(problem.sizes) * problem.time:
        together = (
            f"together all instances need {gibibytes(needed)} of {gibibytes(there)}, but none may "
            "be split"
        )
        if proven:
            yield f"{together}: there is no way to put them onto {gpus}"
        else:
            searched = "" if solver_name() else f" ({EXTRA} searches for one)"
            yield f"{together}: no way was found to put them onto {gpus}{searched}"


def _have(problem: Problem) -> str:
    return "has" if len(problem.sizes) == 1 else "have"


def _would_do(problem: Problem) -> int:
    """As few as the rules of thumb find; at the latest each instance has a GPU of its own."""
    largest, most = max(problem.sizes), sum(item.count for item in problem.items)
    sizes = (*problem.sizes, *(largest,) * most)
    larger = replace(problem, sizes=sizes)
    for count in range(max(len(problem.sizes) + 1, at_least(larger)), len(sizes)):
        # All of those that are there, and as many more as it takes.
        trial = replace(problem, sizes=sizes[:count])
        if pack_into(trial, trial.largest(count)) is not None:
            return count
    return len(sizes)


def _left_out(problem: Problem, too_large: Iterable[Item]) -> list[Item]:
    """One model if that suffices, the smallest; else as few as come out when the largest that
    still fit are taken in first.
    """
    out = list(too_large)
    able = [item for item in problem.items if item not in out]
    if _all_fit(problem, able):
        return out
    for item in sorted(able, key=_total):
        if _all_fit(problem, [other for other in able if other is not item]):
            return [*out, item]
    kept: list[Item] = []
    for item in sorted(able, key=_total, reverse=True):
        if _all_fit(problem, [*kept, item]):
            kept.append(item)
    return [*out, *(item for item in able if item not in kept)]


def _total(item: Item) -> tuple[int, int]:
    return item.count * item.size, item.count * item.time


def _all_fit(problem: Problem, items: Iterable[Item]) -> bool:
    trial = replace(problem, items=tuple(items))
    return pack_into(trial, trial.largest(len(trial.sizes))) is not None
