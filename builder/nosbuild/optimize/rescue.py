"""Names, and a way to try keeping some of them, go in; few to keep so that the bars hold come out.

Nothing here knows of ONNX. An attempt keeps a set of nodes in higher precision, converts all
others, and scores the result. Keeping all of them is taken to hold.

The search is in three parts:
1. Who harms: all but one group of neighbours are kept, for every group; the worst groups are split
   and tried again, so that most attempts go where the harm is.
2. How many: nodes are ordered by harm, for what keeping them costs; the shortest beginning of that
   order that holds is found by halving.
3. Who was not needed: parts of the kept set are given back, the least harmful first, while the
   bars hold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

GROUPS = 8
"""Of neighbours, to begin with."""
SHARE_FOR_HARM = 0.6
"""Of the budget; the rest is for how many, and for giving back."""


@dataclass(frozen=True)
class Score:
    """How far one attempt is from its bars."""

    margin: float
    """At least 0 where they hold; the more, the better. NaN where nothing can be said."""
    error: float | None = None
    """What tells two attempts apart more finely, smaller being better: a mean error, say, where
    the margin is of a share of rows or of a worst sample. Without it the margin does."""

    @property
    def holds(self) -> bool:
        """True where the bars hold; never for NaN."""
        return self.margin >= 0


@dataclass(frozen=True)
class Budget:
    """What a search may take."""

    attempts: int = 40
    seconds: float = 300.0


@dataclass(frozen=True)
class Rescue:
    """What a search found."""

    kept: tuple[str, ...]
    """To keep in higher precision, in the order of the names; of the best attempt, if none held."""
    holds: bool
    margin: float
    """Of that attempt."""
    attempts: int
    seconds: float
    share: float
    """Of all names, by cost: what the rescue gave up."""
    exhausted: bool
    """True where the budget ended the search."""

    def describe(self, names: int) -> str:
        """One line for people."""
        tried = f"{self.attempts} attempts in {self.seconds:.0f} s"
        if self.holds:
            return (
                f"{len(self.kept)} of {names} nodes kept in higher precision "
                f"({self.share:.0%} of the work), found by {tried}"
            )
        more = "; the budget ended the search" if self.exhausted else ""
        return f"no set of nodes to keep was found by {tried}: {-self.margin:.3g} short{more}"


def rescue(
    names: Sequence[str],
    attempt: Callable[[frozenset[str]], Score],
    budget: Budget | None = None,
    costs: Mapping[str, float] | None = None,
) -> Rescue:
    """Find a small set to keep.

    Args:
        names: of all nodes that would be converted, neighbours together.
        attempt: keep these, convert the others, and score.
        budget: attempts and seconds at most; an attempt under way is not cut off.
        costs: what keeping a node gives up, e.g. its share of the time; equal where not given.
    """
    search = _Search(tuple(names), attempt, budget or Budget(), dict(costs or {}))
    try:
        search.run()
    except _Spent:
        search.exhausted = True
    return search.result()


class _Spent(Exception):
    """The budget is used up."""


@dataclass
class _Search:
    names: tuple[str, ...]
    attempt: Callable[[frozenset[str]], Score]
    budget: Budget
    costs: dict[str, float]
    exhausted: bool = False
    tried: dict[frozenset[str], Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def run(self) -> None:
        if self._holds(frozenset()):
            return
        order = self._by_harm()
        kept = self._shortest(order)
        if kept is not None:
            self._give_back(kept, order)

    def result(self) -> Rescue:
        held = [kept for kept, score in self.tried.items() if score.holds]
        if held:
            best = min(held, key=lambda kept: (self._cost(kept), len(kept), sorted(kept)))
        else:
            # All kept is not a conversion at all; of the rest, the closest.
            best = max(
                (kept for kept in self.tried if len(kept) < len(self.names)),
                key=lambda kept: (_number(self.tried[kept]), -self._cost(kept)),
                default=frozenset(),
            )
        score = self.tried.get(best, Score(math.nan))
        total = self._cost(self.names)
        return Rescue(
            kept=tuple(name for name in self.names if name in best),
            holds=score.holds,
            margin=score.margin,
            attempts=len(self.tried),
            seconds=time.monotonic() - self.started,
            share=self._cost(best) / total if total else 0.0,
            exhausted=self.exhausted,
        )

    def _try(self, kept: frozenset[str]) -> Score:
        if kept not in self.tried:
            spent = time.monotonic() - self.started
            if len(self.tried) >= self.budget.attempts or spent >= self.budget.seconds:
                raise _Spent
            self.tried[kept] = self.attempt(kept)
        return self.tried[kept]

    def _holds(self, kept: frozenset[str]) -> bool:
        return self._try(kept).holds

    def _cost(self, names: Collection[str]) -> float:
        return sum(self.costs.get(name, 1.0) for name in names)

    def _by_harm(self) -> list[str]:
        """All names, the worst first."""
        limit = self.budget.attempts * SHARE_FOR_HARM
        until = self.started + self.budget.seconds * SHARE_FOR_HARM
        size = math.ceil(len(self.names) / max(1, min(GROUPS, int(limit))))
        groups = [self.names[i : i + size] for i in range(0, len(self.names), size)]
        merits = {group: self._alone(group) for group in groups}
        while len(self.tried) + 2 <= limit and time.monotonic() < until:
            splittable = [group for group in merits if len(group) > 1]
            if not splittable:
                break
            best = max(merits.values())
            worst = max(splittable, key=lambda group: self._harm(group, merits[group], best))
            del merits[worst]
            half = len(worst) // 2
            for part in (worst[:half], worst[half:]):
                merits[part] = self._alone(part)
        best = max(merits.values(), default=0.0)
        harm = {
            name: self._harm(group, merit, best)
            for group, merit in merits.items()
            for name in group
        }
        place = {name: index for index, name in enumerate(self.names)}
        return sorted(self.names, key=lambda name: (-harm.get(name, 0.0), place[name]))

    def _alone(self, group: Sequence[str]) -> float:
        """How well it goes with nothing but this group converted."""
        return _merit(self._try(frozenset(self.names) - set(group)))

    def _harm(self, group: Sequence[str], merit: float, best: float) -> float:
        """Of each node of a group, for what it costs to keep."""
        if merit == -math.inf:
            return math.inf
        cost = self._cost(group)
        return (best - merit) / cost if cost > 0 else math.inf

    def _shortest(self, order: Sequence[str]) -> frozenset[str] | None:
        """Of the beginnings of this order that hold, about the shortest."""
        low, high = 0, len(order)  # none does not hold; all does
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds(frozenset(order[:middle])):
                high = middle
            else:
                low = middle
        return frozenset(order[:high]) if high < len(order) else None

    def _give_back(self, kept: frozenset[str], order: Sequence[str]) -> None:
        """Convert again what did no harm, the costliest for its harm first."""
        size = max(1, len(kept) // 2)
        while True:
            rest = [name for name in reversed(order) if name in kept]
            for start in range(0, len(rest), size):
                fewer = kept - set(rest[start : start + size])
                if fewer and self._holds(fewer):
                    kept = fewer
            if size == 1:
                return
            size //= 2


def _merit(score: Score) -> float:
    if score.error is None:
        return _number(score)
    return -math.inf if math.isnan(score.error) else -score.error


def _number(score: Score) -> float:
    return -math.inf if math.isnan(score.margin) else score.margin
