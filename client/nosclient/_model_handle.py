"""A model's signature in, what its handle shows and how its arguments are meant out.

No socket and no event loop here: ``Model`` and ``AsyncModel`` share all of it.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy.typing as npt

from nosclient._call import Deadline, Operation
from nosclient._codec import check_outputs
from nosclient._errors import (
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerError,
    Unauthorized,
)
from nosclient._model_info import Signature, TensorInfo
from nosclient._nearest_name import did_you_mean
from nosclient._operations import Operations
from nosclient._settings import not_pickled
from nosclient._stream_session import StreamSession


@dataclass(frozen=True)
class CallOptions:
    """What every call of a handle is made with; as for ``Client.run``."""

    version: str | int = ""
    deadline: float | None = None
    outputs: Sequence[str] | None = None
    priority: int = 0
    parameters: Mapping[str, str | int | float | bool] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What the server told of a model, and of the methods of its class."""

    signature: Signature
    options: CallOptions
    methods: Mapping[str, ModelFacts] = field(default_factory=dict)
    """Name of the method -> the model ``<name>.<method>``."""


def describe(operations: Operations, name: str, options: CallOptions) -> Operation[ModelFacts]:
    """The model and those served beside it as methods of the same class.

    Raises:
        ModelNotFound, ModelNotReady: as for ``Client.get_model_info``.
        InvalidInput: it has not the outputs that are asked for.
    """
    limit = operations.limit(options.deadline)
    signature = yield from operations.signature(name, options.version, _seconds(limit))
    if options.outputs is not None:
        outputs = options.outputs
        check_outputs(signature, [outputs] if isinstance(outputs, str) else outputs)
    try:
        index = yield from operations.list_models(_seconds(limit))
    except (ServerError, Unauthorized):  # it does not tell its models, and runs them all the same
        index = []
    methods = {}
    version = str(options.version)
    for row in index:
        method = row.name.removeprefix(f"{name}.")
        is_wanted = row.state == "READY" and version in ("", row.version)
        if method == row.name or not method.isidentifier() or not is_wanted:
            continue
        try:
            found = yield from operations.signature(row.name, options.version, _seconds(limit))
        except (ModelNotFound, ModelNotReady):
            continue  # unloaded since
        methods[method] = ModelFacts(found, replace(options, outputs=None))
    return ModelFacts(signature, options, methods)


class ModelHandle:
    """One model of one server as a callable object."""

    def __init__(self, operations: Operations, facts: ModelFacts) -> None:
        signature, options = facts.signature, facts.options
        outputs = _asked(signature, options.outputs)
        self.name = signature.name
        """The model's name on the server."""
        self._operations = operations
        self._options = options
        self._signature = signature
        self._only = outputs[0].name if len(outputs) == 1 else None
        self._methods: dict[str, Any] = {}
        parameters = _parameters(signature)
        self._positional = [row.name for row in parameters if row.kind is row.POSITIONAL_OR_KEYWORD]
        self.__signature__ = inspect.Signature(
            parameters, return_annotation=_Shown(_answer(signature, outputs))
        )
        self.__doc__ = _documented(signature, outputs, sorted(facts.methods))

    def __getattr__(self, name: str) -> Any:
        # Only for what is no attribute otherwise: the methods of the class that is served.
        if not name.startswith("_"):
            if name in self._methods:
                return self._methods[name]
            if name == "stream" and self._signature.decoupled:
                return self
            known = ", ".join(sorted(self._methods)) or "none"
            raise AttributeError(
                f"model {self.name!r} has no method {name!r}: the server has no model "
                f"{self.name + '.' + name!r} ready; the methods of {self.name!r} are: {known}"
                f"{did_you_mean(name, self._methods)}"
            )
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._methods})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{self.__signature__}>"

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

    def _bound(self, values: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by the inputs' names.

        Raises:
            InvalidInput: too many by position, or one given twice.
        """
        if values and isinstance(values[0], Mapping):
            raise self._refused("was given a mapping by position: pass it as **inputs")
        if len(values) > len(self._positional):
            most = len(self._positional)
            raise self._refused(f"takes {most} inputs by position, and {len(values)} were given")
        bound = dict(zip(self._positional, values, strict=False))
        twice = bound.keys() & inputs.keys()
        if twice:
            raise self._refused(f"was given input {min(twice)!r} twice")
        bound.update(inputs)
        known = self._signature.inputs_by_name
        return {
            name: value
            for name, value in bound.items()
            if value is not None or name not in known or not known[name].optional
        }

    def _sample(self, sample: Any) -> dict[str, Any]:
        """One of ``map``'s samples by the inputs' names.

        Raises:
            InvalidInput: a single value for a model that takes several.
        """
        if isinstance(sample, Mapping):
            return self._bound((), sample)
        inputs = self._signature.inputs
        needed = [row for row in inputs if not row.optional] if len(inputs) > 1 else inputs
        if len(needed) != 1:
            raise self._refused(
                f"takes several inputs: a sample of map() is a mapping of their names, and one is "
                f"of type {type(sample).__name__}"
            )
        return {needed[0].name: sample}

    def _request(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        """What ``Operations.run`` takes for one inference."""
        options = self._options
        return (
            self.name,
            inputs,
            options.outputs,
            options.version,
            options.deadline,
            options.priority,
            options.parameters,
        )

    def _streaming(self, inputs: Mapping[str, Any]) -> StreamSession:
        return StreamSession(self._operations, *self._request(inputs), either=True)

    def _shaped(self, answer: Mapping[str, npt.NDArray[Any]]) -> Any:
        """The array of a model with one output; of one with several, all by name."""
        if self._only is None:
            return dict(answer)
        if self._only not in answer:
            raise InvalidInput(
                f"model {self.name!r} was replaced: it gave {', '.join(answer) or 'nothing'} in "
                f"place of {self._only}; take a new handle with client.model({self.name!r})"
            )
        return answer[self._only]

    def _one_answer(self, method: str) -> None:
        """Refuse a model that streams.

        Raises:
            InvalidInput: its answers have no one result.
        """
        if self._signature.decoupled:
            raise self._refused(f"streams its answers, and {method}() gives one: call it instead")

    def _window(self, concurrency: int) -> None:
        """Refuse what is no number of requests.

        Raises:
            InvalidInput: less than 1, or no whole number.
        """
        self._one_answer("map")
        if not isinstance(concurrency, int) or concurrency < 1:
            raise InvalidInput(f"concurrency={concurrency!r}: write how many at once, 1 or more")

    def _refused(self, problem: str) -> InvalidInput:
        return InvalidInput(f"model {self.name!r} {problem}; expected {self._signature}")


class _Shown(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _seconds(limit: Deadline) -> float:
    remaining = limit.remaining()
    return float("inf") if remaining is None else remaining


def _asked(signature: Signature, outputs: Sequence[str] | None) -> list[TensorInfo]:
    if outputs is None:
        return list(signature.outputs)
    names = [outputs] if isinstance(outputs, str) else outputs
    return [row for row in signature.outputs if row.name in names]


def _tensor(info: TensorInfo) -> str:
    return str(replace(info, optional=False)).partition(": ")[2]


def _parameters(signature: Signature) -> list[inspect.Parameter]:
    """The inputs as parameters; those whose names Python does not allow are ``**inputs``."""
    parameters: list[inspect.Parameter] = []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    has_default = has_others = False
    for row in signature.inputs:
        if not row.name.isidentifier() or keyword.iskeyword(row.name):
            kind, has_others = inspect.Parameter.KEYWORD_ONLY, True
            continue
        if has_default and not row.optional:  # Python has no such parameters by position
            kind = inspect.Parameter.KEYWORD_ONLY
        has_default = has_default or row.optional
        default = None if row.optional else inspect.Parameter.empty
        annotation = _Shown(_tensor(row))
        parameters.append(inspect.Parameter(row.name, kind, default=default, annotation=annotation))
    if has_others:
        name = "inputs"
        while any(row.name == name for row in parameters):
            name = f"_{name}"
        parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD))
    return parameters


def _answer(signature: Signature, outputs: Sequence[TensorInfo]) -> str:
    several = "{" + ", ".join(map(str, outputs)) + "}"
    shown = _tensor(outputs[0]) if len(outputs) == 1 else several
    return f"Iterator[{shown}]" if signature.decoupled else shown


def _documented(signature: Signature, outputs: Sequence[TensorInfo], methods: Sequence[str]) -> str:
    parts = [signature.description or f"The model {signature.name!r}."]
    rows = [f"    {row.name}: {_tensor(row)}" for row in signature.inputs]
    for position, row in enumerate(signature.inputs):
        rows[position] += ", may be left out" if row.optional else ""
    parts.append("\n".join(["Inputs:", *rows]))
    parts.append("\n".join(["Outputs:", *(f"    {row}" for row in outputs)]))
    if signature.max_batch_size > 0:
        parts.append(
            f"The first axis is the batch, up to {signature.max_batch_size}: pass all inputs with "
            "it, or one\nitem's without it, whose answer comes without it, too."
        )
    if signature.decoupled:
        parts.append("It streams: a call gives an iterator of chunks, over gRPC.")
    if signature.sequence_batching:
        parts.append(
            "It keeps a state from one request to the next: call it with "
            f"client.sequence({signature.name!r})."
        )
    if methods:
        parts.append(f"Methods: {', '.join(methods)}")
    return "\n\n".join(parts)
