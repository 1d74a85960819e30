"""An inference goes in; the calls that it takes come out, and then its answer.

Generators that yield calls and are sent their answers, as in ``_operations.py``; and, for the usual
inference, one call without any (``ready``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from nosclient._call import NOTHING, Call, Deadline, Operation
from nosclient._codec import without_batch_axis
from nosclient._ensure import loaded
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    NosClientError,
    ServerUnavailable,
)
from nosclient._model_info import Signature
from nosclient._observer import Observed, Observer
from nosclient._refusals import explained, who_refused
from nosclient._repository_index import RepositoryIndex
from nosclient._settings import Settings
from nosclient._shared_memory import SharedMemory
from nosclient._signatures import Signatures, checked_version
from nosclient._tracing import NO_HEADERS
from nosclient._way_to_call import check_options, checked, to_be_in_sequence, to_be_streamed

_DECOUPLED = "decoupled transaction policy"
"""In Triton's refusal to run a model that streams as one request with one answer."""
_NO_SEQUENCE = "must specify a non-zero or non-empty correlation ID"
"""In Triton's refusal of a request outside of any sequence; an ensemble only tells it so."""


class Inference(NamedTuple):
    """One that is ready to be sent."""

    call: Call
    observed: Observed
    limit: Deadline
    signature: Signature

    def answered(self, outputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The outputs as the caller takes them; that is its end."""
        call, observed, *_ = self
        observed.receives(call, outputs)
        observed.answered()
        return without_batch_axis(outputs) if call.is_item else outputs


class Inferences:
    """Those of one client; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._deadline = settings.deadline
        self._strict = settings.strict
        self._addresses = settings.addresses
        self.observer = Observer(settings.addresses)
        self.shared_memory = SharedMemory(
            settings.shared_memory, len(settings.addresses), settings.retries
        )
        self._repository = RepositoryIndex(len(settings.addresses))
        self._signatures = Signatures(self._repository)
        self._is_plain = self.shared_memory.is_off and len(settings.addresses) == 1

    def begin_anew(self) -> None:
        """In the child of a fork: nothing is counted or shared yet."""
        self.observer = Observer(self._addresses)
        self.shared_memory.begin_anew()

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        version: str | int,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
        *,
        either: bool = False,
    ) -> Operation[dict[str, npt.NDArray[Any]]]:
        """One inference; the model's signature is fetched once and then remembered.

        Where ``either`` is asked for, the inputs may be one item's, without the batch axis.
        """
        inputs = self.shared_memory.on_gpu(inputs)
        with self.observer.begin("infer", name, version) as observed:
            asked = (inputs, outputs, version, deadline, priority, parameters)
            return (yield from self._run(observed, None, name, *asked, either=either))

    def ready(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        version: str | int,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
        *,
        either: bool = False,
    ) -> Inference | None:
        """The usual inference, for which no generator is needed: it is one call to the one server.

        None where it is not, or may not be, that: it is left to ``run``.
        """
        if not self._is_plain:
            return None
        began = perf_counter()
        asked = [outputs] if isinstance(outputs, str) else outputs
        try:
            limit = self.limit(deadline)
            version = checked_version(name, version)
            signature = self._signatures.get((name, version))
            if signature is None:
                return None
            if priority or parameters:
                check_options(priority, parameters)
            tensors, is_item = checked(
                "infer", False, signature, inputs, asked, strict=self._strict, either=either
            )
        except InvalidInput:
            return None
        observed = self.observer.begin("infer", name, version, began)
        call = Call(
            "infer",
            limit.remaining(),
            name,
            version,
            tensors,
            asked,
            priority,
            parameters or NOTHING,
            headers=observed.headers,
            is_item=is_item,
        )
        observed.sends(call)
        return Inference(call, observed, limit, signature)

    def resumed(
        self, inference: Inference, *asked: Any, either: bool = False
    ) -> Operation[dict[str, npt.NDArray[Any]]]:
        """What ``run`` makes of it from its call on, which comes first; asked as ``ready`` was."""
        call, observed, limit, signature = inference
        made = signature, call._replace(timeout=limit.remaining())
        with observed:
            return (yield from self._run(observed, made, *asked, either=either))

    def _run(
        self,
        observed: Observed,
        made: tuple[Signature, Call] | None,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        version: str | int,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
        *,
        either: bool,
    ) -> Operation[dict[str, npt.NDArray[Any]]]:
        """The answer to the call that was ``made``, or is now; once more for a changed model."""
        left = deadline
        while True:
            signature, call = made or (
                yield from self.prepared(
                    "infer",
                    name,
                    inputs,
                    outputs,
                    version,
                    left,
                    priority,
                    parameters,
                    headers=observed.headers,
                    either=either,
                )
            )
            try:
                return (yield from self.shared_memory.infer(signature, call, self.infer, observed))
            except InvalidInput:
                # Nothing was run. It may have been made for a model that was replaced since.
                limit = Deadline(self._left(deadline, observed))
                if not (yield from self._signatures.has_changed(signature, call, limit)):
                    raise
                left, made = self._left(deadline, observed), None

    def _left(self, deadline: float | None, observed: Observed) -> float:
        """Seconds of an inference's time."""
        total = self.limit(deadline).seconds
        return math.inf if total is None else max(0.0, total - observed.seconds)

    def infer(
        self, call: Call, observed: Observed, is_again: bool = False
    ) -> Operation[dict[str, npt.NDArray[Any]]]:
        """The answer to a prepared call, or what its failure means.

        Where the server loads models on demand, the call is sent again once its model is loaded.
        """
        name, version = call.model, call.version
        observed.sends(call)
        asked_at = perf_counter()
        try:
            result: dict[str, npt.NDArray[Any]] = yield call
        except InvalidInput as error:
            self._signatures.pop((name, version), None)
            if call.sequence is None and _NO_SEQUENCE in error.message:
                raise to_be_in_sequence(name) from error
            raise
        except ModelNotFound as error:
            known = self._signatures.pop((name, version), None)
            # Only its first request can begin a sequence on a model that was not loaded.
            if is_again or not (call.sequence is None or call.sequence.start):
                raise (
                    yield from explained(self._repository, error, name, version, InferenceFailed)
                ) from error
            spent = perf_counter() - asked_at
            left = None if call.timeout is None else max(0.0, call.timeout - spent)
            limit = Deadline(left)
            failure = yield from loaded(
                self._repository, error, name, version, InferenceFailed, limit, call.home
            )
            if failure is not None:
                raise failure from error
            if known is not None:
                self._signatures[name, version] = known
            call = call._replace(timeout=limit.remaining())
            return (yield from self.infer(call, observed, is_again=True))
        except ServerUnavailable as error:
            raise (yield from who_refused(error, name)) from error
        except InferenceFailed as error:
            if _DECOUPLED not in error.message:
                raise
            self._signatures.pop((name, version), None)
            raise to_be_streamed(name) from error
        observed.receives(call, result)
        return without_batch_axis(result) if call.is_item else result

    def prepared(
        self,
        method: Literal["infer", "stream_infer"],
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        version: str | int,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
        *,
        in_sequence: bool = False,
        headers: Mapping[str, str] = NO_HEADERS,
        either: bool = False,
    ) -> Operation[tuple[Signature, Call]]:
        """The inputs checked against the model's signature, and the call that sends them.

        Where ``either`` is asked for, they may be one item's, without the batch axis.
        """
        version = checked_version(name, version)
        if priority or parameters:
            check_options(priority, parameters)
        limit = self.limit(deadline)
        asked = [outputs] if isinstance(outputs, str) else outputs
        known = self._signatures.get((name, version))
        signature = known or (yield from self._signatures.fetch(name, version, limit))
        strict = self._strict
        try:
            tensors, is_item = checked(
                method, in_sequence, signature, inputs, asked, strict=strict, either=either
            )
        except InvalidInput:
            if known is None:
                raise
            # The model may have been replaced by one with another signature since.
            signature = yield from self._signatures.fetch(name, version, limit)
            tensors, is_item = checked(
                method, in_sequence, signature, inputs, asked, strict=strict, either=either
            )
        call = Call(
            method,
            limit.remaining(),
            name,
            version,
            tensors,
            asked,
            priority,
            parameters or NOTHING,
            headers=headers,
        )
        return signature, call._replace(is_item=True) if is_item else call

    def refused(
        self, error: NosClientError, call: Call, limit: Deadline | None
    ) -> Operation[NosClientError | None]:
        """What to raise for a stream that ended with ``error``; the signature is forgotten.

        None where its model is loaded now, by the ``limit``, so that it may be opened again.
        """
        name, version = call.model, call.version
        self._signatures.pop((name, version), None)
        if not isinstance(error, ModelNotFound):
            return error
        if limit is None:
            return (yield from explained(self._repository, error, name, version, InferenceFailed))
        return (
            yield from loaded(
                self._repository, error, name, version, InferenceFailed, limit, call.home
            )
        )

    def limit(self, deadline: float | None) -> Deadline:
        """A deadline from now on; the client's own for None."""
        return Deadline(self._deadline if deadline is None else deadline)
