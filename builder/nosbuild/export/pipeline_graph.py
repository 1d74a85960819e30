"""A pipeline as Triton runs it: ``pipeline.json``, written and read back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

PIPELINE_FILE = "pipeline.json"


@dataclass(frozen=True)
class Stage:
    """A step as Triton runs it."""

    model: str
    inputs: dict[str, str]
    """The model's input -> the ensemble's tensor."""
    outputs: dict[str, str]
    """The model's output -> the ensemble's tensor."""


@dataclass(frozen=True)
class Called:
    """A model as it was when the pipeline was proven with it."""

    variant: str
    digest: str
    interface: str


@dataclass(frozen=True)
class Graph:
    """A pipeline as Triton runs it: what ``pipeline.json`` holds."""

    stages: tuple[Stage, ...]
    """Each after those whose tensors it takes."""
    decoupled: bool
    """A request has any number of answers, because one of the models gives so many."""
    called: dict[str, Called]
    """Every model that it calls, and those pipelines whose steps it took over."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models of its stages, each once."""
        return tuple(dict.fromkeys(stage.model for stage in self.stages))

    def write(self, folder: Path) -> None:
        """``folder/pipeline.json``."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (folder / PIPELINE_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Graph:
        """Read it back."""
        written = json.loads((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
        return cls(
            tuple(Stage(**stage) for stage in written["stages"]),
            written["decoupled"],
            {name: Called(**called) for name, called in written["called"].items()},
        )


def inlined(stages: Sequence[Stage], nested: Mapping[str, Graph]) -> list[Stage]:
    """The stages, with those of a pipeline in place of each stage that calls it.

    An ensemble inside of another one is asked for only some of its outputs, and then Triton may
    prune the very steps that make them (triton-inference-server/server#7482).

    Args:
        stages: of the outer pipeline.
        nested: the pipelines among the models that they call.
    """
    found: list[Stage] = []
    for place, stage in enumerate(stages):
        if stage.model not in nested:
            found.append(stage)
            continue
        names = {**stage.inputs, **stage.outputs}
        for inner in nested[stage.model].stages:
            found.append(
                Stage(
                    inner.model,
                    {key: names.get(t, f"_{place}_{t}") for key, t in inner.inputs.items()},
                    {key: names.get(t, f"_{place}_{t}") for key, t in inner.outputs.items()},
                )
            )
    return found


def needed(stages: Sequence[Stage], outputs: Collection[str]) -> tuple[Stage, ...]:
    """The stages that the outputs need, without the tensors that nothing takes: Triton refuses
    both.

    Args:
        stages: each after those whose tensors it takes.
        outputs: tensors that the pipeline gives.
    """
    taken = set(outputs)
    found: list[Stage] = []
    for stage in reversed(stages):
        made = {key: tensor for key, tensor in stage.outputs.items() if tensor in taken}
        if made:
            taken |= set(stage.inputs.values())
            found.append(replace(stage, outputs=made))
    return tuple(reversed(found))
