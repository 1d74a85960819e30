"""What a proof found, as data: it travels from the child that proves to the room that publishes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """One bar on one output: the worst value found anywhere, and where that was."""

    output: str
    bar: str
    """The bar in words, e.g. ``cosine >= 0.99``."""
    value: float
    """Worst value over all samples and batch sizes; NaN where the metric itself gave NaN."""
    holds: bool
    batch: int
    """Batch size at which the worst value was found."""
    sample: int
    """Index of the (first) sample there."""
    noise: float | None = None
    """The same metric of the source against itself (float64, or another batch size)."""
    noise_misses: bool = False
    """True where the source itself misses the bar: it is tighter than the model's own rounding."""

    def describe(self) -> str:
        """One line: the bar, the value, where, and the model's own noise."""
        noise = f"; the source against itself: {self.noise:.3g}" if self.noise is not None else ""
        return (
            f"{self.output}: {self.bar}, worst {self.value:.6g} "
            f"(batch {self.batch}, sample {self.sample}{noise})"
        )


class Proof(_Frozen):
    """A variant against its source, on real samples, at every batch size that matters."""

    variant: str
    artifact: dict[str, str]
    """File name -> sha256 of what was proven."""
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    """Why it is refused beyond the bars: hidden state, NaN, rows that influence each other."""
    samples: int
    real_samples: bool
    batches: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """True where nothing speaks against publishing."""
        return not self.reasons and all(finding.holds for finding in self.findings)

    def refusal(self) -> str:
        """Why it is refused, a line each; empty where it passed."""
        failed = [
            f"{finding.describe()}: missed"
            + (", and the source itself misses it" if finding.noise_misses else "")
            for finding in self.findings
            if not finding.holds
        ]
        return "\n".join([*self.reasons, *failed])
