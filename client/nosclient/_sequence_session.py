"""One sequence as generators that yield calls; where it stands is kept here.

No socket and no event loop here: ``ModelSequence`` and ``AsyncModelSequence`` drive the same
generators.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy.typing as npt

from nosclient._call import Call, Home, Operation, SequenceStep
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NosClientError,
    SequenceEnded,
    ServerUnavailable,
    WorkerEnded,
)
from nosclient._observer import Observed
from nosclient._operations import Operations

# What Triton, and nosbuild's backends, say of a sequence that they do not know.
_FORGOTTEN = ("must specify the START flag", "has no state here")
_MOST_IDS = 2**63 - 1


class SequenceSession:
    """A sequence of one model: its id, how far it came, and why it goes no further."""

    def __init__(
        self, operations: Operations, name: str, version: str | int, deadline: float | None
    ) -> None:
        self.name = name
        self.id = secrets.randbelow(_MOST_IDS) + 1
        self._operations = operations
        self._version = version
        self._deadline = deadline
        self._begun = False
        self._home = Home()
        self._last: Call | None = None
        """The last call that reached the model."""
        self._over = ""
        """Why there is no next step; empty while there is one."""
        self._in_flight = False
        self._busy = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around each step: they come one after the other, and one that is cut short is the last.

        Raises:
            InvalidInput: another step is on its way.
        """
        if not self._busy.acquire(blocking=False):
            raise InvalidInput(
                f"{self} is at work on another request: its requests come one after the other; "
                "for work side by side take a sequence for each"
            )
        try:
            yield
        finally:
            if self._in_flight:  # a cancelled task, Ctrl-C
                self._over = "a request was interrupted, so that its state is not known"
            self._busy.release()

    def run(
        self,
        inputs: Mapping[str, Any],
        last: bool,
        outputs: Sequence[str] | None,
        deadline: float | None,
        priority: int,
        parameters: Mapping[str, str | int | float | bool] | None,
    ) -> Operation[dict[str, npt.NDArray[Any]]]:
        """The sequence's next step."""
        if self._over:
            raise SequenceEnded(f"{self} is over: {self._over}; begin a new one")
        deadline = self._deadline if deadline is None else deadline
        if self._last is None:
            self._home = Home()  # no server has a state of it
        with self._operations.observer.begin("infer", self.name, self._version) as observed:
            _, call = yield from self._operations.prepared(
                "infer",
                self.name,
                inputs,
                outputs,
                self._version,
                deadline,
                priority,
                parameters,
                in_sequence=True,
                headers=observed.headers,
            )
            step = SequenceStep(self.id, start=not self._begun, end=last)
            call = call._replace(sequence=step, home=self._home)
            return (yield from self._step(call, observed))

    def _step(self, call: Call, observed: Observed) -> Operation[dict[str, npt.NDArray[Any]]]:
        try:
            answer = yield from self._sent(call, observed)
        except (DeadlineExceeded, ServerUnavailable, WorkerEnded) as error:
            self._over = f"a request was not answered, so that its state is not known ({error})"
            raise
        except (InvalidInput, InferenceFailed) as error:
            if self._is_forgotten(error):
                self._over = (
                    "the server does not know it any more; it was idle for too long, or the model "
                    "was loaded again"
                )
                raise SequenceEnded(f"{self} is over: {self._over}; begin a new one") from error
            if isinstance(error, InferenceFailed):
                self._reached(call)
            raise
        self._begun = True
        self._reached(call)
        return answer

    def end(self) -> Operation[None]:
        """Free the sequence's place on the server; nothing if it is over, or never began.

        Triton ends a sequence with a request: the last one goes out again, and its answer is
        dropped.
        """
        call, over = self._last, self._over
        self._over = over or "it was closed"
        if over or call is None:
            return
        step = SequenceStep(self.id, start=not self._begun, end=True)
        remaining = self._operations.limit(self._deadline).remaining()
        try:
            with self._operations.observer.begin("infer", self.name, self._version) as observed:
                call = call._replace(timeout=remaining, sequence=step, headers=observed.headers)
                yield from self._sent(call, observed)
        except (InvalidInput, InferenceFailed) as error:
            # The place is free: the model refused the inputs, or the sequence was gone already.
            if isinstance(error, InvalidInput) and not self._is_forgotten(error):
                raise

    def __str__(self) -> str:
        return f"the sequence {self.id} of {self.name!r}"

    def _sent(self, call: Call, observed: Observed) -> Operation[dict[str, npt.NDArray[Any]]]:
        self._in_flight = True
        try:
            answer = yield from self._operations.infer(call, observed)
        except NosClientError:
            self._in_flight = False
            raise
        self._in_flight = False
        return answer

    def _reached(self, call: Call) -> None:
        self._last = call
        if call.sequence is not None and call.sequence.end:
            self._over = "its last request was sent"

    def _is_forgotten(self, error: NosClientError) -> bool:
        return any(sign in error.message for sign in _FORGOTTEN)


@contextmanager
def telling(error: BaseException | None) -> Iterator[None]:
    """Around the end of a block: where an error broke it, that one is told and no other."""
    if error is None:
        yield
        return
    with suppress(NosClientError):
        yield
