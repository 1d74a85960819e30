"""What a build does goes in; lines while it runs, and one table at the end, come out."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.status import Status
from rich.text import Text

from nosbuild.cli.messages import message_lines
from nosbuild.cli.printing import megabytes, progress, results, table
from nosbuild.errors import NosError

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.steps import BuildResult, StepOutcome

_DOING = {
    "export": "exporting to ONNX",
    "prove": "proving it against the original",
    "measure": "measuring",
}


@dataclass(frozen=True)
class Failure:
    """A model that was not published."""

    name: str
    error: NosError

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "name": self.name,
            "type": type(self.error).__name__,
            "message": self.error.message,
            "remedy": self.error.remedy,
            "exit_code": self.error.exit_code,
        }


class BuildProgress:
    """Prints a build's steps to standard error; a context manager around each model."""

    def __init__(self, *, explain: bool) -> None:
        self.console = progress()
        self.explain = explain
        self._status: Status | None = None

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def plan(self, plan: BuildPlan) -> None:
        """The variants to try, where asked to explain; skips always."""
        if self.explain:
            self._say(Text(plan.describe(), style="dim"))
        else:
            for skip in plan.skips:
                text = f"  skips {skip.what}: {skip.reason}"
                self._say(Text.assemble((plan.model, "bold"), text))

    def step(self, model: str, step: str, why: str) -> None:
        """A step begins."""
        doing = f"[bold]{model}[/]  {_DOING.get(step, step)}"
        if self.explain:
            doing += f" [dim]({escape(why)})[/]"
        if self.console.is_terminal:
            self._status = Status(doing, console=self.console)
            self._status.start()
        else:
            self._say(doing)

    def step_done(self, model: str, outcome: StepOutcome) -> None:
        """A step ended."""
        self._stop()
        if outcome.cached and not self.explain:
            return
        why = f"  [dim]{escape(outcome.why)}[/]" if self.explain else ""
        mark = "[dim]=[/]" if outcome.cached else "[green]✓[/]"
        line = f"{mark} [bold]{model}[/]  {outcome.step} [dim]{outcome.seconds:.1f} s[/]{why}"
        self._say(line)

    def failed(self, name: str, error: NosError) -> None:
        """Why a model was not published."""
        self._stop()
        (first, *rest), helps = message_lines(f"{name} ", error.message, error.remedy)
        said = first.removeprefix(name)
        self._say(Text.assemble(("✗ ", "red"), (name, "bold"), "\n".join([said, *rest])))
        if helps:
            self._say(Text("\n".join(helps), style="dim"))

    def interrupted(self, name: str) -> None:
        """Ctrl-C, before the model was published."""
        self._stop()
        self._say(Text(f"interrupted; {name} stays as it was"))

    def table(self, done: list[BuildResult], failed: list[Failure]) -> None:
        """One table on standard output, of all models, where any was published."""
        if not done:
            return  # why is said above
        rows = table("model", "quality", "latency", "items/s", "verdict")
        for column in rows.columns:
            column.no_wrap = column.header != "quality"
        for result in done:
            size = megabytes(result.artifact_bytes)
            rows.add_row(
                f"[bold]{result.name}[/]\n[dim]{result.variant}, {size}[/]",
                "\n".join(_qualities(result)),
                "\n".join(_latencies(result)),
                f"{result.items_per_second:,.0f}",
                _verdict(result),
            )
        for failure in failed:
            refused = f"[red]{'refused' if failure.error.exit_code == 4 else 'failed'}[/]"
            rows.add_row(f"[bold]{failure.name}[/]", "", "", "", refused)
        console = results()
        console.print(rows)
        for note in (note for result in done for note in _notes(result)):
            console.print(note, soft_wrap=True)

    def _say(self, text: Text | str) -> None:
        """Lines as long as they are: a terminal folds them, a log keeps them whole."""
        self.console.print(text, soft_wrap=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _qualities(result: BuildResult) -> list[str]:
    """``cosine 0.9999 >= 0.99``: what was found, beside what was demanded."""
    lines = []
    several = len({finding.output for finding in result.proof.findings}) > 1
    for finding in result.proof.findings:
        metric, _, bar = finding.bar.partition(" ")
        within = finding.bar.partition(" excess")[0]
        is_allclose = metric.startswith("allclose")
        shown = f"{escape(metric)} {finding.value:.4g} [dim]{escape(bar)}[/]"
        output = f"{escape(finding.output)}: " if several else ""
        lines.append(output + (escape(within) if is_allclose else shown))
    return lines


def _latencies(result: BuildResult) -> list[str]:
    return [f"{row.median_ms:.3g} ms [dim]@{row.batch}[/]" for row in result.measurement.latencies]


def _verdict(result: BuildResult) -> str:
    done = "published" if result.is_new else "unchanged"
    instances, threads = result.measurement.instances, result.measurement.threads
    placement = f"{instances} instance{'s' * (instances > 1)} x {threads}"
    return f"[green]{done}[/] v{result.version}\n[dim]{placement}[/]"


def _notes(result: BuildResult) -> list[str]:
    notes = [
        f"[yellow]{result.name}[/]: the bar of {escape(finding.output)} "
        f"({escape(finding.bar)}) is tighter than the model's own rounding "
        f"noise ({finding.noise:.3g})"
        for finding in result.proof.findings
        if finding.noise_misses
    ]
    if not result.proof.real_samples:
        count = result.proof.samples
        notes.append(
            f"[yellow]{result.name}[/]: proven on {count} random input{'s' * (count != 1)}; "
            "name real ones with samples: in the model.yaml"
        )
    return notes
