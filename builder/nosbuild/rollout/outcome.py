"""What became of the new versions of one model, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nosbuild.errors import Refused
from nosbuild.prove.proof import ServedProof


@dataclass(frozen=True)
class RollOut:
    """New versions of one model that a running server was to take up."""

    model: str
    before: tuple[int, ...]
    """Versions that it served."""
    versions: tuple[int, ...]
    """Those that are new."""
    proofs: tuple[ServedProof, ...] = ()
    refused: str = ""
    """Why they did not take over; empty where they serve now."""
    in_place: str = ""
    """What could not be put back, or marked; empty where all was."""
    is_loaded: bool = True
    """False where the model was not loaded, and nobody asked for that: what is proven then serves
    once it is loaded."""

    def describe(self) -> str:
        """One sentence, or a few lines."""
        new = _named(self.versions)
        if not self.refused:
            samples = sum(p.samples for p in self.proofs if p.version in self.versions)
            plural = "s" * (samples != 1)
            is_one = len(self.versions) == 1
            proven = f"proven with {samples} golden sample{plural} in this server"
            if not self.is_loaded:
                be, serve = ("is", "serves") if is_one else ("are", "serve")
                return f"{self.model}: {new} {be} {proven}, and {serve} once it is loaded"
            return f"{self.model}: {new} {'serves' if is_one else 'serve'}, {proven}"
        goes_on = f"{_named(self.before)} stays" if self.before else "nothing of it is served"
        lines = [f"{self.model}: {new} refused; {goes_on}", *self.refused.splitlines()]
        return "\n  ".join([*lines, self.in_place] if self.in_place else lines)


def settled(outcomes: Sequence[RollOut], model: str, tell: Callable[[str], None]) -> bool:
    """What became of a roll-out for who asked for it.

    Args:
        outcomes: of the model, and of those that it calls.
        model: that was asked for.
        tell: told what serves now.

    Returns:
        whether a new version of the model itself does.

    Raises:
        Refused: one is not proven.
    """
    for outcome in outcomes:
        if outcome.refused:
            remedy = "Change what is wrong with it, then build it again."
            raise Refused(outcome.describe(), remedy)
        tell(outcome.describe())
    return any(outcome.model == model for outcome in outcomes)


def _named(versions: Sequence[int]) -> str:
    return f"version{'s' * (len(versions) != 1)} {', '.join(map(str, versions))}"
