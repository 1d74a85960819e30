"""A server that is an object: functions for models, and both clients' real code to call them."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from nosclient._call import Call
from nosclient.async_client import AsyncClient
from nosclient.client import Client
from nosclient.testing._declared import tensor_infos
from nosclient.testing._fake_model import FakeModel, FakeRequest, refusal

_numbers = itertools.count(1)
_servers: weakref.WeakValueDictionary[int, FakeServer] = weakref.WeakValueDictionary()


class FakeServer:
    """Answers clients of this process, from any thread, without a socket.

    The clients are the real ones: they check inputs, encode tensors and raise errors as with
    Triton. Code that makes its own client is given the url.

    >>> from nosclient import Client
    >>> server = FakeServer()
    >>> @server.model(inputs={"x": "FP32[2]"}, outputs={"y": "FP32[2]"})
    ... def double(x):
    ...     return {"y": 2 * x}
    >>> with Client(server.url) as client:
    ...     client.run("double", {"x": [1, 2]})["y"].tolist()
    [2.0, 4.0]
    >>> server.requests[-1].inputs["x"].tolist()
    [1.0, 2.0]
    """

    def __init__(self) -> None:
        self._number = next(_numbers)
        _servers[self._number] = self
        self._lock = threading.Lock()
        self.models: dict[str, FakeModel] = {}
        """By name."""
        self.requests: list[FakeRequest] = []
        """Every inference that reached the server, in the order of their coming."""
        self.is_running = True

    @property
    def url(self) -> str:
        """For ``Client(url)`` and ``AsyncClient(url)``, as long as somebody holds the server."""
        return f"fake://localhost:{self._number}"

    def client(self, **options: Any) -> Client:
        """A blocking client of it.

        Args:
            options: as for ``Client``, such as ``deadline``.
        """
        return Client(self.url, **options)

    def async_client(self, **options: Any) -> AsyncClient:
        """An asynchronous client of it; hold the server until its first call.

        Args:
            options: as for ``AsyncClient``.
        """
        return AsyncClient(self.url, **options)

    def model(
        self,
        name: str = "",
        *,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        max_batch_size: int = 0,
        decoupled: bool = False,
        sequence: bool = False,
        dynamic_batching: bool = False,
        loaded: bool = True,
        latency: float = 0.0,
    ) -> Callable[[Callable[..., Any]], FakeModel]:
        """Make a model of a function; one of the same name is replaced.

        The function gets each input under its name, as an array (strings as bytes), and returns
        name -> array or lists. A decoupled one yields any number of such answers. With
        ``sequence`` its first argument is a dict for the sequence's state, empty at its start.
        The first line of its docstring is the model's description. What it raises is
        InferenceFailed for the client, a NosClientError is raised as it is, and so is an
        AssertionError, which is the test's own.

        Args:
            name: the function's own where empty.
            inputs: name -> datatype and shape, as ``print(client.get_model_info(...))`` shows
                them: ``{"text": "BYTES[-1,1]", "top?": "INT64[-1,1]"}``; the question mark is for
                one that may be left out.
            outputs: the same of what it returns.
            max_batch_size: above 0 the first axis of every tensor is the batch.
            decoupled: to be called with ``stream``.
            sequence: to be called with ``sequence``.
            dynamic_batching: only told; every request is a run of its own.
            loaded: False for one that has to be loaded first.
            latency: seconds that an answer is late; see ``FakeModel.latency``.

        Raises:
            InvalidFake: a declaration that Triton would not take, or not the function.
        """

        def register(function: Callable[..., Any]) -> FakeModel:
            called = name or getattr(function, "__name__", "model")
            model = FakeModel(
                called,
                function,
                tensor_infos(called, inputs, max_batch_size),
                tensor_infos(called, outputs, max_batch_size),
                max_batch_size=max_batch_size,
                decoupled=decoupled,
                sequence=sequence,
                dynamic_batching=dynamic_batching,
                loaded=loaded,
                latency=latency,
            )
            self.models[called] = model
            return model

        return register

    def stop(self) -> None:
        """Nobody answers any more, and open streams break: ServerUnavailable."""
        self.is_running = False

    def start(self) -> None:
        """Answer again; sequences and statistics are those of a new server."""
        for model in self.models.values():
            model.reset()
        self.is_running = True

    def __repr__(self) -> str:
        return f"<FakeServer {self.url}: {', '.join(self.models) or 'no models'}>"

    def _received(self, request: FakeRequest) -> None:
        with self._lock:
            self.requests.append(request)

    def _model(self, call: Call) -> FakeModel:
        model = self.models.get(call.model)
        if model is None or (call.version not in ("", "1")):
            raise refusal("NOT_FOUND", f"Request for unknown model: '{call.model}' is not found")
        if not model.loaded:
            raise refusal(
                "NOT_FOUND",
                f"Request for unknown model: '{call.model}' has no available versions",
            )
        return model

    def _load(self, call: Call) -> None:
        if call.model not in self.models:
            raise refusal(
                "INVALID_ARGUMENT",
                f"failed to load '{call.model}', failed to poll from model repository",
            )
        self.models[call.model].load()

    def _unload(self, call: Call) -> None:
        if call.model in self.models:  # Triton says yes to any name
            self.models[call.model].unload()

    def _is_ready(self, call: Call) -> bool:
        model = self.models.get(call.model)
        return model is not None and model.loaded and call.version in ("", "1")

    def _index(self) -> list[dict[str, str]]:
        return [self.models[name].index_row() for name in sorted(self.models)]

    def _statistics(self, call: Call) -> dict[str, Any]:
        model = self._model(call)
        done = {"count": model.executions, "ns": model.ns}
        batches = [
            {"batch_size": size, "compute_infer": {"count": count}}
            for size, count in model.batches.items()
        ]
        at_once = {"count": model.executions}
        phases = {"success": done, "compute_infer": done, "queue": at_once}
        phases.update(compute_input=at_once, compute_output=at_once)
        entry = {
            "inference_count": model.items,
            "execution_count": model.executions,
            "last_inference": model.last_ms,
            "inference_stats": phases,
            "batch_stats": batches,
        }
        return {"model_stats": [entry]}


def find(number: int) -> FakeServer | None:
    """The server at ``fake://localhost:number``; None where it is gone."""
    return _servers.get(number)
