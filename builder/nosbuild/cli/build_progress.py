"""What a build does goes in; lines while it runs, and one table at the end, come out."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.status import Status
from rich.text import Text

from nosbuild.cli.messages import message_lines
from nosbuild.cli.printing import progress, results
from nosbuild.errors import NosError
from nosbuild.steps.optimizing import MAKERS

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.report.build_report import Verdict
    from nosbuild.steps import BuildResult, StepOutcome

_DOING = {
    "export": "exporting to ONNX",
    "compile": "checking every edge of the pipeline",
    "package": "reading the class",
    "references": "running the original on every sample",
    "prove": "proving against the original:",
    "rescue": "looking for what to keep in higher precision:",
    "measure": "measuring all that are proven, in turns",
    "memory": "measuring the memory of one instance",
    **{step: maker.says for step, maker in MAKERS.items()},
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

    def needed(self, name: str, caller: str) -> None:
        """A model is built only because another one calls it."""
        self._say(Text.assemble((name, "bold"), f"  is not built yet, and {caller} calls it"))

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
        doing = f"[bold]{model}[/]  {_doing(step)}"
        if self.explain:
            doing += f" [dim]({escape(why)})[/]"
        if self.console.is_terminal:
            self._status = Status(doing, console=self.console)
            self._status.start()
        else:
            self._say(doing)

    def tell(self, model: str, line: str) -> None:
        """Something that takes long is done now."""
        doing = f"[bold]{model}[/]  {escape(line)}"
        if not self.console.is_terminal:
            self._say(doing)
        elif self._status is None:
            self._status = Status(doing, console=self.console)
            self._status.start()
        else:
            self._status.update(doing)

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

    def judged(self, model: str, variant: str, verdict: Verdict, reason: str) -> None:
        """A variant was proven, or was not."""
        self._stop()
        if verdict == "proven" or (verdict == "skipped" and not self.explain):
            return
        first = reason.splitlines()[0] if reason else ""
        colour = "yellow" if verdict == "refused" else "dim"
        self._say(Text.assemble("- ", (model, "bold"), (f"  {variant} {verdict}: {first}", colour)))

    def result(self, result: BuildResult) -> None:
        """One model's variants as a table on standard output, and what was gained in a sentence."""
        from nosbuild.cli.variant_table import sentences, variant_table

        console = results()
        console.print(variant_table(result))
        for line in sentences(result):
            console.print(line, soft_wrap=True)

    def summary(self, done: list[BuildResult], failed: list[Failure]) -> None:
        """One table of all models, where there are several."""
        from nosbuild.cli.build_summary import summary

        if done and len(done) + len(failed) > 1:
            results().print(summary(done, failed))

    def _say(self, text: Text | str) -> None:
        """Lines as long as they are: a terminal folds them, a log keeps them whole."""
        self.console.print(text, soft_wrap=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _doing(label: str) -> str:
    """What a step does, in words: by its name, or by the last step of a recipe."""
    if label in _DOING:
        return _DOING[label]
    step, _, variant = label.partition(" ")
    if step in _DOING:
        return f"{_DOING[step]} {variant}"
    last = next((name for name in MAKERS if label.endswith(f"-{name}")), "")
    return _DOING.get(last, label)
