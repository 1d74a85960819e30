"""Requests to a model that keeps a state between them, blocking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy.typing as npt

from nosclient._call import Operation
from nosclient._sequence_session import SequenceSession, telling


class ModelSequence:
    """Requests that belong together, each answered with what came before in mind.

    They are sent one after the other: from one thread at a time. Sequences are cheap, and any
    number of threads may each have some of the same client. Left without ``last``, a sequence ends
    with the block, by a further request whose answer is dropped.

    >>> with client.sequence("silero_vad") as sequence:
    ...     for chunk in chunks:
    ...         print(sequence.run({"audio": chunk})["speech"].item())
    """

    def __init__(self, drive: Callable[[Operation[Any]], Any], session: SequenceSession) -> None:
        self._drive = drive
        self._session = session

    @property
    def id(self) -> int:
        """Triton's correlation id: what tells this sequence from others in the server's log."""
        return self._session.id

    def run(
        self,
        inputs: Mapping[str, Any],
        *,
        last: bool = False,
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """The next request of the sequence, which is one item.

        Args:
            inputs: as for ``Client.run``; those that are states are not among them. The batch
                axis, where the model has one, may be left out.
            last: none comes after it, which frees the sequence's place on the server.
            outputs: as for ``Client.run``.
            deadline: seconds for this call in place of the sequence's.
            priority: as for ``Client.run``.
            parameters: as for ``Client.run``.

        Raises:
            SequenceEnded: it is over: closed, sent its last request, idle for too long, or
                broken off by an error that leaves its state unknown.
            InferenceFailed: the model failed on the request; the state is as it was before it.
            InvalidInput: the inputs do not fit, or another thread is at work on this sequence;
                nothing was run.
            DeadlineExceeded, ServerUnavailable: the sequence is over.
        """
        with self._session.turn():
            answer: dict[str, npt.NDArray[Any]] = self._drive(
                self._session.run(inputs, last, outputs, deadline, priority, parameters)
            )
        return answer

    def close(self) -> None:
        """End the sequence, so that the server frees its place; nothing if it is over."""
        with self._session.turn():
            self._drive(self._session.end())

    def __enter__(self) -> ModelSequence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with telling(error):
            self.close()

    def __repr__(self) -> str:
        return f"<{self._session}>"
