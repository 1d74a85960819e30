"""A model as a callable object, blocking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

from nosclient._address import Address
from nosclient._call import Operation
from nosclient._errors import ClientClosed
from nosclient._model_handle import ModelFacts, ModelHandle
from nosclient._operations import Operations
from nosclient._worker_pool import WorkerPool
from nosclient.stream import Stream


class Model(ModelHandle):
    """A model to be called like a function; ``Client.model`` makes it.

    Its inputs are the arguments, by name or in the order of the model. ``help``,
    ``inspect.signature`` and ``repr`` of the object tell them. What it gives is the array of its
    output, or where it has several a dict of them by name; of a model that streams an iterator of
    such. Methods of a class served by nosbuild are attributes: ``summary.summarize(texts=[...])``.

    Calls raise as ``Client.run`` does. Any number of threads may call one.

    >>> embed = client.model("minilm")
    >>> vector = embed(input_ids=ids, attention_mask=mask)
    """

    def __init__(
        self,
        drive: Callable[[Operation[Any]], Any],
        infer: Callable[..., Any],
        pool: WorkerPool,
        operations: Operations,
        address: Address,
        facts: ModelFacts,
    ) -> None:
        super().__init__(operations, facts)
        self._drive = drive
        self._infer = infer
        self._pool = pool
        self._address = address
        self._methods = {
            name: Model(drive, infer, pool, operations, address, method)
            for name, method in facts.methods.items()
        }

    def __call__(self, /, *values: Any, **inputs: Any) -> Any:
        """One inference: of a batch, or of one item whose inputs all lack the batch axis."""
        bound = self._bound(values, inputs)
        if self._signature.decoupled:
            return _ModelStream(self, bound)
        return self._ask(bound)

    def submit(self, /, *values: Any, **inputs: Any) -> Future[Any]:
        """The same call in a thread of the client's.

        Arrays are read when it is sent: leave them as they are until the future is done.

        Returns:
            The future of what the call gives, or raises. It can be cancelled while it waits for
            one of 64 threads; one that waits when the client is closed is cancelled. The end of
            the program waits for none.

        Raises:
            InvalidInput: the model streams.
        """
        self._one_answer("submit")
        return self._pool.submit(lambda: self._ask(self._bound(values, inputs)))

    def map(self, samples: Iterable[Any], *, concurrency: int = 16) -> Iterator[Any]:
        """Calls for many samples, side by side.

        Args:
            samples: mappings of the inputs by name, or single values for a model with one input.
                It may be without end: no more than ``concurrency`` are taken ahead of the
                results. So many are taken before the first result is waited for.
            concurrency: requests in flight at most.

        Returns:
            What each call gives, in the order of the samples. The first error is raised at its
            place, and ends it; leaving the loop does, too: what is not sent by then never is.

        Raises:
            InvalidInput: the model streams, or ``concurrency`` is less than 1.
        """
        self._window(concurrency)
        return self._mapped(iter(samples), concurrency)

    def _ask(self, inputs: dict[str, Any]) -> Any:
        return self._shaped(self._infer(*self._request(inputs), either=True))

    def _mapped(self, samples: Iterator[Any], concurrency: int) -> Iterator[Any]:
        window: deque[Future[Any]] = deque()
        failure: Exception | None = None
        goes_on = True
        try:
            while goes_on or window:
                while goes_on and len(window) < concurrency:
                    try:
                        sample = next(samples)
                    except StopIteration:
                        goes_on = False
                    except Exception as error:  # noqa: BLE001 - the caller's own, after the
                        failure, goes_on = error, False  # results that come before it
                    else:
                        window.append(self._pool.submit(self._asked_with(sample), concurrency))
                if window:
                    try:
                        result = window.popleft().result()
                    except CancelledError as error:  # nobody else knows these futures
                        raise ClientClosed("the client was closed while map() ran") from error
                    yield result
            if failure is not None:
                raise failure
        finally:
            for future in window:
                future.cancel()

    def _asked_with(self, sample: Any) -> Callable[[], Any]:
        return lambda: self._ask(self._sample(sample))


class _ModelStream(Stream):
    """A stream whose chunks are what a call of the model gives."""

    def __init__(self, model: Model, inputs: dict[str, Any]) -> None:
        self._shaped = model._shaped
        super().__init__(model._drive, model._streaming(inputs), model._address)

    def __next__(self) -> Any:
        return self._shaped(super().__next__())
