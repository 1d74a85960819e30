"""One request in, the server's answer out: as users send it, over one transport."""

from __future__ import annotations

from typing import Protocol

from nosbuild.prove.wire import Arrays

Outputs = Arrays | list[Arrays]
"""Outputs by name; of a model that streams, those of every chunk."""


class Step(Protocol):
    """Sends the next request of one sequence."""

    def __call__(self, inputs: Arrays, like: Arrays, *, first: bool, last: bool) -> Arrays:
        """As ``Caller.run``; ``first`` begins the sequence, ``last`` ends it."""


class Caller(Protocol):
    """Sends requests to one version of a model; any number of threads may share it.

    Every method raises a NosClientError.
    """

    def run(self, inputs: Arrays, like: Arrays) -> Outputs:
        """The outputs; ``like`` has those that are expected, for their sizes."""

    def sequence(self) -> Step:
        """A new sequence, of one thread."""

    def close(self) -> None:
        """Leaves nothing behind."""


class ClientCaller:
    """Through nosclient, over HTTP or gRPC by the url."""

    def __init__(self, url: str, model: str, version: int, deadline: float) -> None:
        from nosclient import Client

        self._client = Client(url, deadline=deadline)
        self._model = model
        self._version = version

    def run(self, inputs: Arrays, like: Arrays) -> Outputs:
        """The outputs of one request."""
        return self._client.run(self._model, inputs, outputs=list(like), version=self._version)

    def sequence(self) -> Step:
        """A new sequence, of one thread."""
        sequence = self._client.sequence(self._model, version=self._version)

        def step(inputs: Arrays, like: Arrays, *, first: bool, last: bool) -> Arrays:
            return sequence.run(inputs, last=last, outputs=list(like))

        return step

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class StreamCaller(ClientCaller):
    """The same for a model that streams: every chunk is waited for."""

    def run(self, inputs: Arrays, like: Arrays) -> Outputs:
        """The chunks of one request."""
        with self._client.stream(self._model, inputs, version=self._version) as chunks:
            return [dict(chunk) for chunk in chunks]
