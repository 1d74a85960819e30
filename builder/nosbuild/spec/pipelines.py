"""``source: {pipeline: [...]}`` and its ``outputs`` -> PipelineSteps and what they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from nosbuild.spec.names import NAME_PATTERN, name_findings
from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.yaml_source import KeyPath, type_name

STEP_EXAMPLE = "{model: tokenizer, in: {text: text}, out: {input_ids: ids}}"
_STEP_KEYS = ("model", "in", "out")
_PATH: KeyPath = ("source", "pipeline")

Side = Literal["in", "out"]


@dataclass(frozen=True)
class PipelineStep:
    """One model of a pipeline, and which values it takes and makes."""

    model: str
    """Name of the model in the repository."""
    inputs: dict[str, str]
    """The model's input -> the value that goes in."""
    outputs: dict[str, str]
    """The model's output -> the value that comes out; outputs that nobody needs are left out."""

    def dump(self) -> dict[str, Any]:
        """The step as a spec writes it."""
        return {"model": self.model, "in": self.inputs, "out": self.outputs}


def pipeline_inputs(steps: Iterable[PipelineStep]) -> tuple[str, ...]:
    """The values that no step makes, in the order of their first use: the pipeline's inputs."""
    steps = tuple(steps)
    made = {value for step in steps for value in step.outputs.values()}
    used = (value for step in steps for value in step.inputs.values())
    return tuple(dict.fromkeys(value for value in used if value not in made))


def parse_steps(written: object, name: str) -> tuple[PipelineStep, ...] | list[Finding]:
    """Read the list of steps, or say everything that is wrong with it.

    Args:
        written: what stands at ``source.pipeline``.
        name: of the pipeline itself, which no step may call.
    """
    if not isinstance(written, list) or not written:
        shown = "has no steps" if not written else f"is {type_name(written)}, not a list of steps"
        return [Finding(_PATH, shown, f"write steps, e.g. pipeline: [{STEP_EXAMPLE}]")]
    findings = [
        finding
        for position, step in enumerate(written)
        for finding in _step_findings((*_PATH, position), step, name)
    ]
    if findings:
        return findings
    steps = tuple(PipelineStep(step["model"], step["in"], step["out"]) for step in written)
    return list(_made_twice(steps)) or list(_loop(steps)) or steps


def parse_results(
    written: object, steps: Iterable[PipelineStep], key: KeyPath = ("outputs",)
) -> dict[str, str] | list[Finding]:
    """Read ``outputs`` of a pipeline: output name -> the value that it is.

    Args:
        written: what stands there.
        steps: of the pipeline.
        key: where it stands.
    """
    steps = tuple(steps)
    made = [value for step in steps for value in step.outputs.values()]
    used = {value for step in steps for value in step.inputs.values()}
    last = next((value for value in reversed(made) if value not in used), made[-1])
    remedy = f"write output name: value, e.g. outputs: {{{last}: {last}}}"
    if written is None:
        found = "is missing; a pipeline does not tell which of its values it gives"
        return [Finding(key, found, remedy, line_of=_PATH)]
    if not isinstance(written, dict) or not written:
        shown = "is empty" if not written else f"is {type_name(written)}, not a mapping"
        return [Finding(key, shown, remedy)]
    findings: list[Finding] = []
    for name, value in written.items():
        here = (*key, name)
        if not isinstance(value, str):
            findings.append(Finding(here, *_no_value(value)))
        elif value in pipeline_inputs(steps):
            found = f"{value!r} is an input of the pipeline, made by no step"
            findings.append(Finding(here, found, one_of(made)))
        elif value not in made:
            found = f"no step makes a value {value!r}"
            findings.append(Finding(here, found, did_you_mean(value, made, one_of(made))))
    return findings or written


def _step_findings(key: KeyPath, step: object, name: str) -> Iterator[Finding]:
    if not isinstance(step, dict):
        yield Finding(key, f"is {type_name(step)}, not a step", f"write {STEP_EXAMPLE}")
        return
    for option in step:
        if option not in _STEP_KEYS:
            remedy = did_you_mean(option, _STEP_KEYS, f"a step has {', '.join(_STEP_KEYS)}")
            yield Finding((*key, option), "unknown key", remedy)
    yield from _model_findings(key, step, name)
    yield from _side_findings(key, step, "in", "{model's input: value}")
    yield from _side_findings(key, step, "out", "{model's output: value}")


def _model_findings(key: KeyPath, step: dict[str, Any], name: str) -> Iterator[Finding]:
    here = (*key, "model")
    model = step.get("model")
    if model is None:
        yield Finding(here, "is missing", "add `model:` with the name of a model")
    elif not isinstance(model, str):
        remedy = f'quote it: model: "{model}"' if isinstance(model, (int, float)) else "write one"
        yield Finding(here, f"is {type_name(model)}, not a model's name", remedy)
    elif model != name:
        yield from name_findings(here, model)
    else:
        yield Finding(here, "the pipeline calls itself", "name another model")


def _side_findings(
    key: KeyPath, step: dict[str, Any], side: Side, example: str
) -> Iterator[Finding]:
    here = (*key, side)
    values = step.get(side)
    if values is None:
        yield Finding(here, "is missing", f"add {side}: {example}")
    elif not isinstance(values, dict) or not values:
        shown = "is empty" if not values else f"is {type_name(values)}, not a mapping"
        yield Finding(here, shown, f"write {side}: {example}")
    else:
        for tensor, value in values.items():
            if not isinstance(value, str) or not value.strip():
                yield Finding((*here, tensor), *_no_value(value))


def _no_value(value: object) -> tuple[str, str]:
    """What was found in place of a value's name, and what to write."""
    if isinstance(value, (bool, int, float)):
        return f"{value} is {type_name(value)}, not a value's name", f'quote it: "{value}"'
    shown = "is empty" if value == "" else f"is {type_name(value)}, not a value's name"
    return shown, "write the name of a value, e.g. ids"


def _made_twice(steps: tuple[PipelineStep, ...]) -> Iterator[Finding]:
    makers: dict[str, str] = {}
    for position, step in enumerate(steps):
        for tensor, value in step.outputs.items():
            if value in makers:
                found = f"the value {value!r} is made twice, first by {makers[value]}"
                key = (*_PATH, position, "out", tensor)
                yield Finding(key, found, "give one of the two another name")
            makers.setdefault(value, f"{step.model}.{tensor}")


def _loop(steps: tuple[PipelineStep, ...]) -> Iterator[Finding]:
    """The first loop; order in the list does not matter, Triton runs what has its inputs."""
    maker = {value: place for place, step in enumerate(steps) for value in step.outputs.values()}
    makers = {
        place: [maker[value] for value in step.inputs.values() if value in maker]
        for place, step in enumerate(steps)
    }
    try:
        TopologicalSorter(makers).prepare()
    except CycleError as error:
        loop: list[int] = error.args[1]
        chain = " -> ".join(steps[place].model for place in loop)
        found = f"the steps wait for each other: {chain}"
        if len(loop) == 2:
            step = steps[loop[0]]
            own = next(value for value in step.inputs.values() if value in step.outputs.values())
            found = f"{step.model} takes {own!r}, which it makes itself"
        remedy = "let one of them take an input of the pipeline, or what a step before it makes"
        yield Finding((*_PATH, min(loop)), found, remedy)


_VALUES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "string", "minLength": 1},
}

RESULTS_SCHEMA: dict[str, Any] = {
    **_VALUES_SCHEMA,
    "description": "Of a pipeline: output name -> the value that it is.",
}
"""JSON Schema of a pipeline's outputs."""

PIPELINE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pipeline": {
            "type": "array",
            "description": "Models that pass values on; a value that none makes is an input.",
            "items": {
                "type": "object",
                "properties": {
                    "model": {"type": "string", "pattern": NAME_PATTERN},
                    "in": {**_VALUES_SCHEMA, "description": "Model's input -> value."},
                    "out": {**_VALUES_SCHEMA, "description": "Model's output -> value."},
                },
                "required": list(_STEP_KEYS),
                "additionalProperties": False,
            },
            "minItems": 1,
        },
        "outputs": RESULTS_SCHEMA,
    },
    "required": ["pipeline"],
    "additionalProperties": False,
}
"""JSON Schema of the section."""
