"""A pipeline's steps and the models that they call go in; the graph that Triton runs comes out.

Every edge is checked here with the names of both its ends; Triton would refuse them at load with
those of one. Its rules: ensemble_scheduler/ensemble_utils.cc of triton-inference-server/core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Protocol

from nosbuild.errors import SpecError
from nosbuild.export.pipeline_axes import ITSELF, Axes, End
from nosbuild.export.pipeline_graph import Called, Graph, Stage, inlined, needed
from nosbuild.export.pipeline_tensors import described_tensors
from nosbuild.spec.problems import Finding, did_you_mean
from nosbuild.tensors import TensorSpec

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.spec.pipelines import PipelineStep
    from nosbuild.spec.yaml_source import KeyPath


class Callee(Protocol):
    """What a pipeline must know of a model that it calls."""

    @property
    def name(self) -> str:
        """In the repository."""

    @property
    def graph(self) -> Graph | None:
        """Of a pipeline; None for any other model."""

    @property
    def variant(self) -> str:
        """What is published."""

    @property
    def digest(self) -> str:
        """Of all that decides its answers."""

    @property
    def interface(self) -> str:
        """Of names, dtypes, shapes and batching."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """With the batch axis where Triton batches."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Likewise."""

    @property
    def optional(self) -> frozenset[str]:
        """Inputs that may be left out."""

    @property
    def max_batch_size(self) -> int:
        """0 where Triton does not batch it."""

    @property
    def decoupled(self) -> bool:
        """A request has any number of answers."""

    @property
    def stateful(self) -> bool:
        """It remembers between the requests of a sequence."""

    @property
    def dims(self) -> Mapping[str, str]:
        """Axis -> ``min..typical..max``, where known."""


@dataclass(frozen=True)
class CompiledPipeline:
    """A pipeline whose edges fit."""

    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    default_dims: dict[str, str]
    """Axis -> ``min..typical..max`` that all models which have it take."""

    def as_data(self) -> dict[str, Any]:
        """The tensors, as an export step describes them."""
        return {
            "inputs": [_described(tensor) for tensor in self.inputs],
            "outputs": [_described(tensor) for tensor in self.outputs],
            "default_dims": self.default_dims,
        }


def compile_pipeline(spec: ModelSpec, models: Mapping[str, Callee]) -> CompiledPipeline:
    """Check every edge, and put the steps in order.

    Args:
        spec: a pipeline.
        models: every model that its steps call, by name; and those that pipelines among them call.

    Raises:
        SpecError: edges that do not fit, each with the line of its step.
    """
    steps = spec.source.steps
    batched = all(models[step.model].max_batch_size > 0 for step in steps)
    findings = [
        *(finding for place, step in enumerate(steps) for finding in _mapping(place, step, models)),
        *_streams(spec, models),
        *_output_names(spec),
        *_dead_ends(spec),
    ]
    ends = _ends(spec, models)
    axes = Axes(batched)
    for found in ends.values():
        for other in found[1:]:
            axes.join(found[0], other)
    _refuse(spec, [*findings, *axes.findings])
    tensors = described_tensors(spec, models, ends, axes)
    _refuse(spec, tensors.findings)
    names, order = _tensor_names(spec), _order(steps)
    stages = inlined([_stage(steps[place], names) for place in order], _nested(models))
    called = [*(steps[place].model for place in order), *(stage.model for stage in stages)]
    return CompiledPipeline(
        Graph(
            needed(stages, spec.source.results),
            any(models[step.model].decoupled for step in steps),
            {name: _called(models[name]) for name in called},
        ),
        tensors.inputs,
        tensors.outputs,
        tensors.dims,
    )


def _refuse(spec: ModelSpec, findings: Sequence[Finding]) -> None:
    errors = [spec.error(one.key, one.found, one.remedy) for one in findings]
    if errors:
        raise SpecError(spec.file, [problem for error in errors for problem in error.problems])


def _mapping(place: int, step: PipelineStep, models: Mapping[str, Callee]) -> Iterator[Finding]:
    """Inputs and outputs that the model does not have, or needs."""
    model = models[step.model]
    here: KeyPath = ("source", "pipeline", place)
    if model.stateful:
        yield Finding(
            (*here, "model"),
            f"{model.name} keeps a state for each sequence of requests, which no proof of a "
            "pipeline can follow",
            f'let clients call it with client.sequence("{model.name}"), and send what it answers',
        )
    for side, what, mapped, tensors in (
        ("in", "input", step.inputs, model.inputs),
        ("out", "output", step.outputs, model.outputs),
    ):
        known = {tensor.name: tensor for tensor in tensors}
        for name in mapped:
            if name not in known:
                has = ", ".join(f"{t.name}: {t.declaration}" for t in tensors)
                remedy = did_you_mean(name, known, f"it has {has}")
                yield Finding((*here, side, name), f"{model.name} has no {what} {name!r}", remedy)
    for tensor in model.inputs:
        if tensor.name not in step.inputs and tensor.name not in model.optional:
            found = f"{model.name}.{tensor.name} takes {tensor.declaration}, but is given nothing"
            yield Finding((*here, "in"), found, f"add {tensor.name}: <the value that goes in>")


def _ends(spec: ModelSpec, models: Mapping[str, Callee]) -> dict[str, list[End]]:
    """Value -> where it comes from, then where it goes."""
    makers: dict[str, list[End]] = {}
    takers: dict[str, list[End]] = {}
    for tensor in spec.input_tensors or ():
        if tensor.name in spec.source.inputs:
            end = End(ITSELF, spec.name, tensor, ("inputs", tensor.name))
            makers.setdefault(tensor.name, []).append(end)
    for place, step in enumerate(spec.source.steps):
        model = models[step.model]
        for side, mapped, tensors, found in (
            ("in", step.inputs, model.inputs, takers),
            ("out", step.outputs, model.outputs, makers),
        ):
            by_name = {tensor.name: tensor for tensor in tensors}
            for name, value in mapped.items():
                if name in by_name:  # otherwise said already
                    key = ("source", "pipeline", place, side, name)
                    end = End(place, step.model, by_name[name], key, makes=side == "out")
                    found.setdefault(value, []).append(end)
    values = (*spec.source.inputs, *makers)
    ends = {value: [*makers.get(value, ()), *takers.get(value, ())] for value in values}
    return {value: found for value, found in ends.items() if found}


def _streams(spec: ModelSpec, models: Mapping[str, Callee]) -> Iterator[Finding]:
    """A model of streams gives many answers to one request: Triton joins them with nothing else."""
    steps = spec.source.steps
    streams: dict[str, int | None] = {}
    for place in _order(steps):
        step = steps[place]
        key: KeyPath = ("source", "pipeline", place, "in")
        yield from _one_stream(key, f"{step.model} takes", step.inputs.values(), streams, steps)
        own = place if models[step.model].decoupled else None
        before = (streams.get(value) for value in step.inputs.values())
        came = next((stream for stream in before if stream is not None), None)
        streams |= dict.fromkeys(step.outputs.values(), came if own is None else own)
    results = spec.source.results.values()
    yield from _one_stream(("outputs",), "the pipeline gives", results, streams, steps)
    if spec.response_cache and any(models[step.model].decoupled for step in steps):
        found = "does not go with a pipeline that streams: Triton caches no streams"
        yield Finding(("response_cache",), found, "remove it")


def _one_stream(
    key: KeyPath,
    who: str,
    values: Iterable[str],
    streams: Mapping[str, int | None],
    steps: Sequence[PipelineStep],
) -> Iterator[Finding]:
    kinds = {streams.get(value): value for value in values}
    if len(kinds) > 1:
        shown = [
            f"{value!r}, which "
            + ("comes once" if made is None else f"{steps[made].model} streams")
            for made, value in kinds.items()
        ]
        found = f"{who} {' and '.join(shown)}: Triton does not join them"
        yield Finding(key, found, "let it be values of one stream alone, or of none")


def _output_names(spec: ModelSpec) -> Iterator[Finding]:
    """Triton knows every value of an ensemble by one name."""
    first: dict[str, str] = {}
    for name, value in spec.source.results.items():
        if name in spec.source.inputs:
            found = "is the name of an input too, and Triton has one name for one value"
            yield Finding(("outputs", name), found, "give the output another name")
        if value in first:
            found = f"{value!r} is the output {first[value]!r} already: Triton gives a value once"
            yield Finding(("outputs", name), found, "remove one of the two")
        first.setdefault(value, name)


def _dead_ends(spec: ModelSpec) -> Iterator[Finding]:
    """Steps that make nothing for an output: Triton's answer would not wait for them."""
    steps = spec.source.steps
    needed = set(spec.source.results.values())
    for place in reversed(_order(steps)):
        step = steps[place]
        if needed.isdisjoint(step.outputs.values()):
            found = f"nothing that {step.model} makes here goes into an output of the pipeline"
            remedy = "remove the step, or give what it makes in outputs"
            yield Finding(("source", "pipeline", place), found, remedy)
        else:
            needed |= set(step.inputs.values())


def _order(steps: Sequence[PipelineStep]) -> list[int]:
    maker = {value: place for place, step in enumerate(steps) for value in step.outputs.values()}
    needs = {
        place: [maker[value] for value in step.inputs.values() if value in maker]
        for place, step in enumerate(steps)
    }
    return list(TopologicalSorter(needs).static_order())


def _tensor_names(spec: ModelSpec) -> dict[str, str]:
    """Value -> the ensemble's tensor: outputs bear the name that clients see."""
    source = spec.source
    names = {value: value for value in source.inputs}
    names |= {value: output for output, value in source.results.items()}
    for step in source.steps:
        for value in step.outputs.values():
            name = value
            while value not in names and name in names.values():
                name = f"_{name}"  # an output of the pipeline is named as this value
            names.setdefault(value, name)
    return names


def _stage(step: PipelineStep, names: Mapping[str, str]) -> Stage:
    return Stage(
        step.model,
        {tensor: names[value] for tensor, value in step.inputs.items()},
        {tensor: names[value] for tensor, value in step.outputs.items()},
    )


def _nested(models: Mapping[str, Callee]) -> dict[str, Graph]:
    graphs = ((name, model.graph) for name, model in models.items())
    return {name: graph for name, graph in graphs if graph is not None}


def _called(model: Callee) -> Called:
    return Called(model.variant, model.digest, model.interface)


def _described(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "declaration": tensor.declaration, "range": tensor.range}
