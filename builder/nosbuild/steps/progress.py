"""Who is told what a build is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.report.build_report import Verdict
    from nosbuild.steps.result import StepOutcome


class Progress(Protocol):
    """Told what a build is doing; every method may do nothing."""

    def plan(self, plan: BuildPlan) -> None:
        """What will be tried, before anything is."""

    def step(self, model: str, step: str, why: str) -> None:
        """A step begins; not called for one that the cache answers."""

    def tell(self, model: str, line: str) -> None:
        """Something that takes long is done now, which is no step of its own."""

    def step_done(self, model: str, outcome: StepOutcome) -> None:
        """A step ended."""

    def judged(self, model: str, variant: str, verdict: Verdict, reason: str) -> None:
        """A variant was proven or refused; its speed is not known yet."""


class Silent:
    """Says nothing."""

    def plan(self, plan: BuildPlan) -> None:
        """Nothing."""

    def step(self, model: str, step: str, why: str) -> None:
        """Nothing."""

    def tell(self, model: str, line: str) -> None:
        """Nothing."""

    def step_done(self, model: str, outcome: StepOutcome) -> None:
        """Nothing."""

    def judged(self, model: str, variant: str, verdict: Verdict, reason: str) -> None:
        """Nothing."""
