"""What is seen of each inference of a client: counted always, traced where the program traces."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy.typing as npt

from nosclient._address import Address
from nosclient._call import Call
from nosclient._errors import NosClientError
from nosclient._recorder import Recorder, array_bytes
from nosclient._stats import CANCELLED, OK
from nosclient._tracing import NO_HEADERS, Tracer, end


class Observer:
    """Watches the inferences of one client."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.recorder = Recorder()
        self._tracer = Tracer(addresses)

    def begin(
        self, method: str, model: str, version: str | int, began: float | None = None
    ) -> Observed:
        """An inference begins, in the current trace: now, unless ``perf_counter`` gave another."""
        if type(model) is not str:
            model = str(model)  # refused later, but counted
        if "opentelemetry.trace" not in sys.modules:  # nobody traces in this program
            return Observed(self.recorder, model, None, NO_HEADERS, began)
        span, headers = self._tracer.span(method, model, str(version))
        return Observed(self.recorder, model, span, headers, began)


class Observed:
    """One inference on its way; ``with`` ends it, well or with the error that leaves the block."""

    __slots__ = (
        "_is_over",
        "_model",
        "_recorder",
        "_span",
        "_start",
        "chunks",
        "headers",
        "received",
        "sent",
    )

    def __init__(
        self,
        recorder: Recorder,
        model: str,
        span: Any,
        headers: Mapping[str, str],
        began: float | None,
    ) -> None:
        self.headers = headers
        """What continues the trace on the server."""
        self.sent = 0
        """Bytes of tensors that went out on the wire."""
        self.received = 0
        """The same of what came back, but for chunks."""
        self.chunks = 0
        self._recorder = recorder
        self._model = model
        self._span = span
        self._is_over = False
        self._start = perf_counter() if began is None else began

    @property
    def seconds(self) -> float:
        """Since it began."""
        return perf_counter() - self._start

    def sends(self, call: Call) -> None:
        """The tensors of a request go out; those in shared memory are counted as such."""
        sent = 0
        for tensor in call.tensors:
            if tensor.place is None:
                sent += array_bytes(tensor.array)
            else:
                self._recorder.travelled(tensor.place.kind, tensor.place.size, 0)
        self.sent = sent

    def runs_again(self) -> None:
        """The model has run it, and the answer was lost: it is sent once more."""
        self._recorder.runs_again(self._model)

    def receives(self, call: Call, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """The outputs of its answer came, or the server wrote them into shared memory."""
        received = 0
        for name, array in outputs.items():
            if (place := call.places.get(name)) is not None:
                self._recorder.travelled(place.kind, 0, array.nbytes)
            else:
                received += array_bytes(array)
        self.received = received

    def chunk(self, received: int) -> None:
        """A chunk of so many bytes came."""
        first_after = None if self.chunks else perf_counter() - self._start
        self.chunks += 1
        self._recorder.chunk(self._model, received, first_after)

    def answered(self) -> None:
        """It ended well."""
        self._end(OK, "")

    def failed(self, error: BaseException) -> None:
        """It ended otherwise; what is no error of ours has cut it short."""
        if isinstance(error, NosClientError):
            self._end(type(error).__name__, error.message)
        else:
            self.cancelled()

    def cancelled(self) -> None:
        """Nobody waits for it any more."""
        self._end(CANCELLED, "left before its end")

    def __enter__(self) -> Observed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._end(OK, "")
        else:
            self.failed(error)

    def _end(self, outcome: str, message: str) -> None:
        if self._is_over:  # the first word counts
            return
        self._is_over = True
        seconds = perf_counter() - self._start
        self._recorder.ended(self._model, outcome, seconds, self.sent, self.received)
        if self._span is not None:
            end(self._span, outcome, message)
