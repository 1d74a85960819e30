"""A model as a callable object, for an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from nosclient._address import Address
from nosclient._call import Operation
from nosclient._errors import ClientClosed
from nosclient._model_handle import ModelFacts, ModelHandle
from nosclient._operations import Operations
from nosclient.async_stream import AsyncStream


class AsyncModel(ModelHandle):
    """A model to be called like a coroutine function; ``await AsyncClient.model(...)`` makes it.

    As ``Model``, with ``await embed(...)``, and ``async for chunk in chat(...)`` where it streams.

    >>> embed = await client.model("minilm")
    >>> vector = await embed(input_ids=ids, attention_mask=mask)
    """

    def __init__(
        self,
        drive: Callable[[Operation[Any]], Awaitable[Any]],
        infer: Callable[..., Awaitable[Any]],
        operations: Operations,
        address: Address,
        facts: ModelFacts,
    ) -> None:
        super().__init__(operations, facts)
        self._drive = drive
        self._infer = infer
        self._address = address
        self._methods = {
            name: AsyncModel(drive, infer, operations, address, method)
            for name, method in facts.methods.items()
        }

    def __call__(self, /, *values: Any, **inputs: Any) -> Any:
        """One inference, to be awaited; of a model that streams, for ``async for``."""
        bound = self._bound(values, inputs)
        if self._signature.decoupled:
            return _AsyncModelStream(self, bound)
        return self._ask(bound)

    def submit(self, /, *values: Any, **inputs: Any) -> asyncio.Task[Any]:
        """The same call as a task that has begun; keep it until it is done.

        Raises:
            InvalidInput: the model streams.
        """
        self._one_answer("submit")

        async def ask() -> Any:
            return await self._ask(self._bound(values, inputs))

        return asyncio.get_running_loop().create_task(ask())

    def map(
        self, samples: Iterable[Any] | AsyncIterable[Any], *, concurrency: int = 16
    ) -> AsyncIterator[Any]:
        """As ``Model.map``, for ``async for``; the samples may come asynchronously, too.

        A result that is there is given while the next sample is still waited for. Requests in
        flight are cancelled when the iterator is closed: by the event loop some time after the
        loop over it was left, at once by ``contextlib.aclosing``.
        """
        self._window(concurrency)
        return self._mapped(samples, concurrency)

    async def _ask(self, inputs: dict[str, Any]) -> Any:
        return self._shaped(await self._infer(*self._request(inputs), either=True))

    async def _mapped(
        self, samples: Iterable[Any] | AsyncIterable[Any], concurrency: int
    ) -> AsyncIterator[Any]:
        source = aiter(samples if isinstance(samples, AsyncIterable) else _each(samples))
        window: deque[asyncio.Future[Any]] = deque()
        following: asyncio.Future[Any] | None = None
        failure: Exception | None = None
        goes_on = True
        try:
            while goes_on or window:
                if goes_on and following is None and len(window) < concurrency:
                    following = asyncio.ensure_future(anext(source))
                waited_for = [each for each in (following, *list(window)[:1]) if each is not None]
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
                if following is not None and following.done():
                    ended, following = following, None
                    try:
                        sample = ended.result()
                    except StopAsyncIteration:
                        goes_on = False
                    except Exception as error:  # noqa: BLE001 - the caller's own, after the
                        failure, goes_on = error, False  # results that come before it
                    else:
                        window.append(asyncio.ensure_future(self._ask_with(sample)))
                elif window and window[0].done():
                    try:
                        result = window.popleft().result()
                    except asyncio.CancelledError as error:  # nobody else knows these tasks
                        raise ClientClosed("the client was closed while map() ran") from error
                    yield result
            if failure is not None:
                raise failure
        finally:
            left = [*window] if following is None else [*window, following]
            for future in left:
                future.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _ask_with(self, sample: Any) -> Any:
        return await self._ask(self._sample(sample))


async def _each(samples: Iterable[Any]) -> AsyncIterator[Any]:
    for sample in samples:
        yield sample


class _AsyncModelStream(AsyncStream):
    """A stream whose chunks are what a call of the model gives."""

    def __init__(self, model: AsyncModel, inputs: dict[str, Any]) -> None:
        self._shaped = model._shaped
        super().__init__(model._drive, model._streaming(inputs), model._address)

    async def __anext__(self) -> Any:
        return self._shaped(await super().__anext__())
