"""A pipeline's graph, and what runs each of its models, go in; what runs all of them comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nosbuild.errors import NosError, Refused

if TYPE_CHECKING:
    import numpy as np

    from nosbuild.export.pipeline_graph import Stage
    from nosbuild.source.loaded import Arrays
    from nosbuild.tensors import TensorSpec


class Runs(Protocol):
    """A runner of an artifact, or a loaded source; of a stream, a list of answers comes out."""

    def run(self, inputs: Arrays) -> Any:
        """Every output, under its name."""
        ...


@dataclass(frozen=True)
class RunningStage:
    """A step, and what runs its model."""

    stage: Stage
    runner: Runs
    inputs: tuple[TensorSpec, ...]
    """Of the model."""
    outputs: tuple[TensorSpec, ...]

    def answers(self, values: Arrays) -> Iterator[Arrays]:
        """What the model makes of the values, under their names in the pipeline; one a chunk."""
        stage = self.stage
        taken = {t.name: own(t, values[stage.inputs[t.name]]) for t in self._given()}
        made = self.runner.run(taken)
        shapes = {tensor.name: tensor for tensor in self.outputs}
        for answer in [made] if isinstance(made, dict) else made:
            yield {
                value: carried(shapes[name], answer[name]) for name, value in stage.outputs.items()
            }

    def _given(self) -> Iterator[TensorSpec]:
        return (tensor for tensor in self.inputs if tensor.name in self.stage.inputs)


class PipelineRunner:
    """Models that pass values on as Triton's ensemble does.

    Values travel as Triton carries them: what has no axes but the batch has one of size 1.
    """

    def __init__(
        self,
        stages: Sequence[RunningStage],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        streams: bool = False,
    ) -> None:
        """Put the stages together.

        Args:
            stages: each after those whose values it takes.
            inputs: of the pipeline.
            outputs: of the pipeline.
            streams: one of the models gives any number of answers.
        """
        self.stages = tuple(stages)
        self.inputs = inputs
        self.outputs = outputs
        self.streams = streams

    def run(self, inputs: Arrays) -> Any:
        """Every output, under its name; of a stream, a list of them, one for each answer.

        Raises:
            Refused: one of the models cannot run what the others give it.
        """
        given = {tensor.name: carried(tensor, inputs[tensor.name]) for tensor in self.inputs}
        found = [
            {tensor.name: own(tensor, values[tensor.name]) for tensor in self.outputs}
            for values in self._after(given, 0)
        ]
        return found if self.streams else found[0]

    def close(self) -> None:
        """Close what can be closed; again is harmless."""
        for stage in self.stages:
            if close := getattr(stage.runner, "close", None):
                close()

    def _after(self, values: Arrays, first: int) -> Iterator[Arrays]:
        """All values once the stages from ``first`` on have run; for each answer of a stream."""
        if first == len(self.stages):
            yield values
            return
        stage = self.stages[first]
        try:
            answers = list(stage.answers(values))
        except NosError:
            raise
        except Exception as exc:
            shown = {name: list(values[value].shape) for name, value in stage.stage.inputs.items()}
            raise Refused(
                f"{stage.stage.model} cannot run what the pipeline gives it, in shapes {shown}: "
                f"{type(exc).__name__}: {' '.join(str(exc).split())[:400]}",
                "Let the models before it give what it takes, or mend it.",
            ) from exc
        for answer in answers:
            yield from self._after({**values, **answer}, first + 1)


def carried(tensor: TensorSpec, array: np.ndarray) -> np.ndarray:
    """A model's own array as Triton carries it."""
    return array if tensor.item_shape else array.reshape(*array.shape, 1)


def own(tensor: TensorSpec, array: np.ndarray) -> np.ndarray:
    """What Triton carries as the model's own array."""
    return array if tensor.item_shape else array.reshape(array.shape[:-1])
