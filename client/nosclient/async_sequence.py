"""Requests to a model that keeps a state between them, for an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy.typing as npt

from nosclient._call import Operation
from nosclient._sequence_session import SequenceSession, telling


class AsyncModelSequence:
    """As ``ModelSequence``, with await: from one task at a time."""

    def __init__(
        self, drive: Callable[[Operation[Any]], Awaitable[Any]], session: SequenceSession
    ) -> None:
        self._drive = drive
        self._session = session

    @property
    def id(self) -> int:
        """As ``ModelSequence.id``."""
        return self._session.id

    async def run(
        self,
        inputs: Mapping[str, Any],
        *,
        last: bool = False,
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """As ``ModelSequence.run``; a request that is cancelled is the sequence's last."""
        with self._session.turn():
            answer: dict[str, npt.NDArray[Any]] = await self._drive(
                self._session.run(inputs, last, outputs, deadline, priority, parameters)
            )
        return answer

    async def close(self) -> None:
        """As ``ModelSequence.close``."""
        with self._session.turn():
            await self._drive(self._session.end())

    async def __aenter__(self) -> AsyncModelSequence:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with telling(error):
            await self.close()

    def __repr__(self) -> str:
        return f"<{self._session}>"
