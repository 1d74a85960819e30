"""Everything a client can do, as generators that yield calls and are sent their answers.

No socket and no event loop here: ``Client`` and ``AsyncClient`` drive the same generators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from nosclient._call import NO_PARAMETERS, Call, Deadline, Operation
from nosclient._codec import without_batch_axis
from nosclient._ensure import loaded
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerUnavailable,
)
from nosclient._model_info import (
    ModelInfo,
    ModelStatistics,
    ModelSummary,
    Signature,
    parse_model_info,
    parse_signature,
    parse_statistics,
)
from nosclient._observer import Observed, Observer
from nosclient._refusals import (
    explained,
    is_in_a_repository,
    repository_index,
    who_refused,
    why_not_ready,
)
from nosclient._service import NOT_YET, wait
from nosclient._settings import Settings
from nosclient._shared_memory import SharedMemory
from nosclient._tracing import NO_HEADERS
from nosclient._way_to_call import check_options, checked, to_be_in_sequence, to_be_streamed


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


_DECOUPLED = "decoupled transaction policy"
"""In Triton's refusal to run a model that streams as one request with one answer."""
_NO_SEQUENCE = "must specify a non-zero or non-empty correlation ID"
"""In Triton's refusal of a request outside of any sequence; an ensemble only tells it so."""


class Operations:
    """The operations of one client, and the signatures it has seen.

    Safe to share between threads: the cache is only read, set and dropped whole entries at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._deadline = settings.deadline
        self._strict = settings.strict
        self.observer = Observer(settings.addresses)
        self.shared_memory = SharedMemory(
            settings.shared_memory, len(settings.addresses), settings.retries
        )
        self._addresses = settings.addresses
        self._signatures: dict[tuple[str, str], Signature] = {}
        self._is_plain = self.shared_memory.is_off and len(settings.addresses) == 1

    def begin_anew(self) -> None:
        """In the child of a fork: nothing is counted or shared yet."""
        self.observer = Observer(self._addresses)
        self.shared_memory.begin_anew()

    def list_models(self, deadline: float | None = None) -> Operation[list[ModelSummary]]:
        """The repository index."""
        return (yield from repository_index(self.limit(deadline)))

    def get_model_info(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[ModelInfo]:
        """Metadata, configuration and state of a loaded model."""
        version = _checked_version(name, version)
        limit = self.limit(deadline)
        metadata, config = yield from self._describe(name, version, limit)
        index = yield from repository_index(limit)
        self._signatures[name, version] = parse_signature(metadata, config)
        return parse_model_info(metadata, config, index)

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
            version = _checked_version(name, version)
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
            parameters or NO_PARAMETERS,
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
                total = self.limit(deadline).seconds
                left = math.inf if total is None else max(0.0, total - observed.seconds)
                if not (yield from self._is_outdated(signature, call, Deadline(left))):
                    raise
                made = None

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
                raise (yield from explained(error, name, version, InferenceFailed)) from error
            left = None if call.timeout is None else call.timeout - (perf_counter() - asked_at)
            limit = Deadline(left)
            failure = yield from loaded(error, name, version, InferenceFailed, limit, call.home)
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
        version = _checked_version(name, version)
        if priority or parameters:
            check_options(priority, parameters)
        limit = self.limit(deadline)
        asked = [outputs] if isinstance(outputs, str) else outputs
        known = self._signatures.get((name, version))
        signature = known or (yield from self._fetch(name, version, limit))
        strict = self._strict
        try:
            tensors, is_item = checked(
                method, in_sequence, signature, inputs, asked, strict=strict, either=either
            )
        except InvalidInput:
            if known is None:
                raise
            # The model may have been replaced by one with another signature since.
            signature = yield from self._fetch(name, version, limit)
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
            parameters or NO_PARAMETERS,
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
            return (yield from explained(error, name, version, InferenceFailed))
        return (yield from loaded(error, name, version, InferenceFailed, limit, call.home))

    def is_ready(self, model: str | None, deadline: float | None) -> Operation[bool]:
        """Whether the server, and the model if one is named, would take a request now."""
        try:
            return (yield from self._probe(model, self.limit(deadline).remaining()))
        except NOT_YET:
            return False

    def wait_until_ready(self, timeout: float, model: str | None) -> Operation[None]:
        """Ask until the answer is yes.

        Raises:
            DeadlineExceeded: still not ready after ``timeout`` seconds; says why.
        """
        what = f"model {model!r}" if model else "the server"
        yield from wait(
            timeout,
            what,
            lambda patience: self._probe(model, patience),
            (lambda: why_not_ready(model, self._addresses)) if model else None,
        )

    def signature(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[Signature]:
        """The model's signature, asked for anew and remembered."""
        version = _checked_version(name, version)
        return (yield from self._fetch(name, version, self.limit(deadline)))

    def load_model(self, name: str, deadline: float | None) -> Operation[None]:
        """Load or reload a model; returns when it is ready."""
        _check_name(name)
        yield Call("load_model", self.limit(deadline).remaining(), name)
        self._forget(name)

    def unload_model(self, name: str, deadline: float | None) -> Operation[None]:
        """Ask the server to unload a model; work in flight is finished first."""
        _check_name(name)
        limit = self.limit(deadline)
        # Triton says yes to the unloading of any name; a typo should not pass for success.
        if not (yield from is_in_a_repository(name, len(self._addresses), limit)):
            raise ModelNotFound(f"there is no model {name!r} to unload; see list_models()")
        yield Call("unload_model", limit.remaining(), name)
        self._forget(name)

    def statistics(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[ModelStatistics]:
        """Counters of a model since it was loaded."""
        version = _checked_version(name, version)
        call = Call("get_inference_statistics", self.limit(deadline).remaining(), name, version)
        try:
            answer = yield call
        except (InvalidInput, ModelNotFound) as error:
            raise (yield from explained(error, name, version, ModelNotReady)) from error
        return parse_statistics(name, answer)

    def limit(self, deadline: float | None) -> Deadline:
        """A deadline from now on; the client's own for None."""
        return Deadline(self._deadline if deadline is None else deadline)

    def _forget(self, name: str) -> None:
        for key in [key for key in list(self._signatures) if key[0] == name]:
            self._signatures.pop(key, None)

    def _is_outdated(self, signature: Signature, call: Call, limit: Deadline) -> Operation[bool]:
        """Whether the model has another signature by now, which is remembered then."""
        try:
            return (yield from self._fetch(call.model, call.version, limit)) != signature
        except NosClientError:  # the refusal says more
            return False

    def _fetch(self, name: str, version: str, limit: Deadline) -> Operation[Signature]:
        signature = parse_signature(*(yield from self._describe(name, version, limit)))
        self._signatures[name, version] = signature
        return signature

    def _describe(
        self, name: str, version: str, limit: Deadline, is_again: bool = False
    ) -> Operation[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        try:
            return (
                (yield Call("get_model_metadata", limit.remaining(), name, version)),
                (yield Call("get_model_config", limit.remaining(), name, version)),
            )
        except ModelNotFound as error:
            self._signatures.pop((name, version), None)
            if is_again:
                raise (yield from explained(error, name, version, ModelNotReady)) from error
            failure = yield from loaded(error, name, version, ModelNotReady, limit)
            if failure is not None:
                raise failure from error
        return (yield from self._describe(name, version, limit, is_again=True))

    def _probe(self, model: str | None, timeout: float | None) -> Operation[bool]:
        if model is None:
            ready: bool = yield Call("is_server_ready", timeout)
        else:
            ready = yield Call("is_model_ready", timeout, model)
        return ready


def _check_name(name: str) -> None:
    if not (isinstance(name, str) and name):
        raise InvalidInput(f"{name!r} is no model's name; see list_models()")


def _checked_version(name: str, version: str | int) -> str:
    """The version as Triton's protocols write it; the name is checked with it."""
    if version == "" and type(name) is str and name:
        return ""
    _check_name(name)
    is_number = isinstance(version, int) and not isinstance(version, bool)
    text = str(version) if is_number else version
    if not isinstance(text, str) or (text and not text.isdecimal()):
        raise InvalidInput(f"{version!r} is no version; write a number, e.g. 1")
    return text
