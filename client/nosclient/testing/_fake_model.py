"""One model of a fake server: a function, what it takes and gives, and how it stands."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from tritonclient.utils import InferenceServerException

from nosclient._call import SequenceStep, Tensor
from nosclient._codec import encode
from nosclient._errors import NosClientError
from nosclient._model_info import Signature, TensorInfo, parse_signature
from nosclient.testing._declared import InvalidFake, answer_tensors


@dataclass(frozen=True, eq=False)
class FakeRequest:
    """An inference that reached the fake server, answered or not."""

    model: str
    inputs: Mapping[str, npt.NDArray[Any]]
    """As the server sees them: checked, of the model's dtypes, strings as bytes."""
    outputs: tuple[str, ...] | None
    """Those asked for; None for all."""
    version: str
    parameters: Mapping[str, str | int | float | bool]
    priority: int
    headers: Mapping[str, str]
    timeout: float | None
    """Seconds that were left for it."""
    sequence: SequenceStep | None
    is_stream: bool


class FakeModel:
    """What ``@server.model`` makes of a function; its attributes may be changed at any time."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: tuple[TensorInfo, ...],
        outputs: tuple[TensorInfo, ...],
        *,
        max_batch_size: int,
        decoupled: bool,
        sequence: bool,
        dynamic_batching: bool,
        loaded: bool,
        latency: float,
    ) -> None:
        self.name = name
        self.function = function
        """Answers the requests."""
        self.loaded = loaded
        """False: requests are refused with ModelNotReady until ``load_model``."""
        self.latency = latency
        """Seconds that an answer, or each chunk, is late. Nothing sleeps: what has a shorter
        deadline ends with DeadlineExceeded, and all else is answered at once."""
        self.queue_is_full = False
        """True: requests are refused with ModelNotReady."""
        self.load_error = ""
        """Why ``load_model`` fails, with ModelLoadFailed; empty where it does not."""
        self._outputs = outputs
        self._reason = ""
        self._was_loaded = loaded
        self.metadata = {
            "name": name,
            "versions": ["1"],
            "platform": "python",
            "inputs": [_row(info) for info in inputs],
            "outputs": [_row(info) for info in outputs],
        }
        description = (inspect.getdoc(function) or "").partition("\n")[0]
        axes = {info.name: info.axes for info in (*inputs, *outputs) if info.axes}
        self.config: dict[str, Any] = {
            "name": name,
            "backend": "python",
            "max_batch_size": max_batch_size,
            "input": [{"name": info.name, "optional": info.optional} for info in inputs],
            "parameters": {
                "description": {"string_value": description},
                "axis_names": {"string_value": json.dumps(axes)},
            },
            "model_transaction_policy": {"decoupled": decoupled},
            **({"dynamic_batching": {}} if dynamic_batching else {}),
            **({"sequence_batching": {}} if sequence else {}),
        }
        self.signature: Signature = parse_signature(self.metadata, self.config)
        self._check_function(function)
        self._states: dict[int, dict[str, Any]] = {}
        self._counting = threading.Lock()
        self.reset()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function itself."""
        return self.function(*arguments, **named)

    def __repr__(self) -> str:
        return f"<FakeModel {self.signature}>"

    @property
    def open_sequences(self) -> int:
        """Sequences that were begun and not ended yet."""
        return len(self._states)

    def reset(self) -> None:
        """Forget sequences and counts, as a model does that is loaded again."""
        self._states.clear()
        self.items = self.executions = self.ns = self.last_ms = 0
        self.batches: dict[int, int] = {}

    def index_row(self) -> dict[str, str]:
        """A line of the repository index."""
        if self.loaded:
            return {"name": self.name, "version": "1", "state": "READY"}
        if not self._was_loaded:
            return {"name": self.name}
        reason = self._reason or "unloaded"
        return {"name": self.name, "version": "1", "state": "UNAVAILABLE", "reason": reason}

    def load(self) -> None:
        """Load it, or fail with ``load_error``."""
        self.reset()
        self._was_loaded = True
        self.loaded, self._reason = not self.load_error, self.load_error
        if self.load_error:
            raise refusal(
                "INVALID_ARGUMENT",
                f"load failed for model '{self.name}': version 1 is at UNAVAILABLE state: "
                f"Internal: {self.load_error};",
            )

    def unload(self) -> None:
        """Take no more requests."""
        self.reset()
        self.loaded, self._reason = False, ""

    def answers(self, request: FakeRequest) -> Iterator[list[Tensor]]:
        """The answers to a request, one after the other: one, if the model is not decoupled.

        Raises:
            InferenceServerException: as Triton refuses a request, or tells a model's failure.
            NosClientError: what the function raised of that kind.
        """
        self._check(request)
        started = time.perf_counter_ns()
        try:
            yield from self._run(request)
        finally:
            # Failures too: Triton counts what a Python model answers with an error as a success.
            size = self._batch(request) or 1
            with self._counting:
                self.ns += time.perf_counter_ns() - started + int(self.latency * 1e9)
                self.last_ms = int(time.time() * 1000)
                self.items += size
                self.executions += 1
                self.batches[size] = self.batches.get(size, 0) + 1

    def _run(self, request: FakeRequest) -> Iterator[list[Tensor]]:
        if self.signature.decoupled:
            answers = self._call(request.inputs)
            if isinstance(answers, Mapping) or not hasattr(answers, "__iter__"):
                raise InvalidFake(f"{self.name!r} is decoupled: it must yield its answers")
            chunks = iter(answers)
            end = object()
            while (chunk := self._guarded(lambda: next(chunks, end))) is not end:
                yield self._tensors(request, chunk, None)
            return
        step = request.sequence
        if step is None:
            yield self._tensors(request, self._call(request.inputs), self._batch(request))
            return
        # Only kept where the model does not fail on the request.
        state = {} if step.start else dict(self._states[step.id])
        if step.start:
            self._states[step.id] = {}
        try:
            answer = self._call(request.inputs, state)
            self._states[step.id] = state
        finally:
            if step.end:
                self._states.pop(step.id, None)
        yield self._tensors(request, answer, self._batch(request))

    def _call(self, inputs: Mapping[str, npt.NDArray[Any]], *state: dict[str, Any]) -> Any:
        return self._guarded(lambda: self.function(*state, **inputs))

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except (NosClientError, AssertionError):  # asked for; a test's own assert
            raise
        except Exception as error:  # a model may fail with anything
            raise refusal("INTERNAL", f"{type(error).__name__}: {error}") from error

    def _tensors(self, request: FakeRequest, answer: Any, batch: int | None) -> list[Tensor]:
        tensors = answer_tensors(self.name, self._outputs, answer, batch)
        wanted: Sequence[str] | None = request.outputs
        return [tensor for tensor in tensors if wanted is None or tensor.name in wanted]

    def _batch(self, request: FakeRequest) -> int | None:
        if self.signature.max_batch_size == 0:
            return None
        return next((array.shape[0] for array in request.inputs.values()), None)

    def _check(self, request: FakeRequest) -> None:
        """Refuse what Triton would, in its words: the client may hold an older signature."""
        name, signature, step = self.name, self.signature, request.sequence
        if self.queue_is_full:
            raise refusal("UNAVAILABLE", "Exceeds maximum queue size")
        if signature.decoupled and not request.is_stream:
            raise refusal(
                "UNIMPLEMENTED",
                "ModelInfer RPC doesn't support models with decoupled transaction policy",
            )
        if signature.sequence_batching and step is None:
            raise refusal(
                "INVALID_ARGUMENT",
                f"inference request to model '{name}' must specify a non-zero or non-empty "
                "correlation ID",
            )
        if step is not None and not step.start and step.id not in self._states:
            raise refusal(
                "INVALID_ARGUMENT",
                f"inference request for sequence {step.id} to model '{name}' must specify the "
                "START flag on the first request of the sequence",
            )
        if signature.max_batch_size > 0 and not request.inputs:
            raise refusal("INVALID_ARGUMENT", "out of bounds index 0: request has 0 inputs")
        encode(signature, request.inputs, in_sequence=step is not None)

    def _check_function(self, function: Callable[..., Any]) -> None:
        required = dict.fromkeys(self.signature.required)
        every: dict[str, None] = {info.name: None for info in self.signature.inputs}
        first: tuple[Any, ...] = ({},) if self.signature.sequence_batching else ()
        try:
            signature = inspect.signature(function)
        except ValueError:  # some of C's tell none
            return
        try:
            for named in (required, every):
                signature.bind(*first, **named)
        except TypeError as error:
            state = "the sequence's state, then " if first else ""
            raise InvalidFake(
                f"{self.name!r} must take {state}its inputs by their names, {', '.join(every)}, "
                f"optional ones with a default; {function} does not ({error})"
            ) from None


def refusal(status: str, message: str) -> InferenceServerException:
    """An error as tritonclient tells one of the server's."""
    return InferenceServerException(msg=message, status=status)


def _row(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": info.datatype, "shape": list(info.shape)}
