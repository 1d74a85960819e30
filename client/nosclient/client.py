"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

import numpy.typing as npt

from nosclient._after_fork import call_in_child
from nosclient._at_exit import close_at_exit
from nosclient._call import Call, Operation, Pause, T
from nosclient._credentials import Token
from nosclient._errors import ClientClosed, NosClientError
from nosclient._model_handle import CallOptions, describe
from nosclient._model_info import ModelInfo, ModelStatistics, ModelSummary
from nosclient._operations import Operations
from nosclient._retry import RETRIES
from nosclient._routing import Routing
from nosclient._sequence_session import SequenceSession
from nosclient._service import ServiceInfo, get_service_info, is_healthy, wait_for_server
from nosclient._settings import Settings, not_pickled
from nosclient._stats import ClientStats
from nosclient._stream_session import StreamSession
from nosclient._tls import TLS
from nosclient._transport_kind import Mode, Transport
from nosclient._transports import BlockingTransports
from nosclient._worker_pool import WorkerPool
from nosclient.model import Model
from nosclient.sequence import ModelSequence
from nosclient.stream import Stream


class Client:
    """Calls a Triton server; safe to share between threads.

    Args:
        url: ``host:port`` or ``grpc://host:port`` for gRPC, ``http://host:port`` for HTTP;
            ``grpcs://`` and ``https://`` with TLS. Several, in a list, share the requests.
        deadline: seconds that each method may take, unless it is given its own; None waits as
            long as the server does.
        retries: how often a request is sent again where the server was not reached or was lost,
            and nothing is done twice by it; 0 for never.
        tls: certificates, where those that grpcs:// and https:// trust do not do.
        token: goes with each request as ``authorization: Bearer ...``; or a function that gives
            it, called for each request, from any thread: it must be quick.
        headers: that go with each request.
        restricted_keys: name -> value of the keys of Triton's restricted APIs.
        shared_memory: ``auto`` lets large tensors pass through memory that a server on the same
            machine maps, where that can be had: on a GPU for what lies there. ``system`` and
            ``cuda`` take the host's or a GPU's for all, and raise a ServerError where it cannot be
            had. ``off`` does not try. See ``transport``.
        strict: refuse arrays whose cast to the model's dtype can lose something. False allows
            casts to fewer bits of the same kind and from integers to floats, where no integer is
            out of range and no float becomes infinite; never between numbers and strings.

    Every method raises a NosClientError: ServerUnavailable where nobody answers,
    DeadlineExceeded where the answer is late, Unauthorized where the server does not let this
    client in, UntrustedServer where its certificate is not trusted, others as the method says.
    Nothing is sent before the first method is called.
    """

    def __init__(
        self,
        url: str | Sequence[str] = "localhost:8001",
        *,
        deadline: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        restricted_keys: Mapping[str, str] | None = None,
        shared_memory: Mode = "off",
        strict: bool = True,
    ) -> None:
        self._settings = Settings.of(
            url,
            deadline=deadline,
            retries=retries,
            tls=tls,
            token=token,
            headers=headers,
            restricted_keys=restricted_keys,
            shared_memory=shared_memory,
            strict=strict,
        )
        self._operations = Operations(self._settings)
        self._routing = Routing(self._settings.addresses, retries)
        self._transports = BlockingTransports(self._settings.addresses, self._settings.credentials)
        self._pool = WorkerPool()
        self._closed = False
        call_in_child(self, Client._begin_anew)
        if shared_memory != "off":
            close_at_exit(self)

    def list_models(self, *, deadline: float | None = None) -> list[ModelSummary]:
        """Every model in the server's repository, loaded or not."""
        return self._drive(self._operations.list_models(deadline))

    def get_model_info(
        self, name: str, version: str | int = "", *, deadline: float | None = None
    ) -> ModelInfo:
        """What a loaded model takes and gives.

        Raises:
            ModelNotFound: no such model or version.
            ModelNotReady: it is there but not loaded.
        """
        return self._drive(self._operations.get_model_info(name, version, deadline))

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str | int = "",
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """One inference.

        Args:
            name: the model.
            inputs: name -> array (of numpy, torch, cupy, jax ...), image of PIL or, for BYTES,
                Path of a file; or numbers, strings and lists of them, which take the model's
                dtype. The batch axis, where the model has one, comes first.
            outputs: names of the outputs wanted; None for all.
            version: of the model, a number; the server's choice where empty.
            deadline: seconds for this call in place of the client's.
            priority: for models with priority levels; 0 for the model's default.
            parameters: handed to the model with the request.

        Returns:
            Name -> array. Strings are object arrays of bytes. Arrays may be read-only views of
            the response: copy one before writing to it.

        Raises:
            InvalidInput: the inputs do not fit the model; nothing was run.
            ModelNotFound: no such model or version.
            ModelNotReady: it is not loaded, or its queue is full.
            ModelLoadFailed: the server loads on demand, and could not load it.
            InferenceFailed: the model failed on the request.
        """
        return self._infer(name, inputs, outputs, version, deadline, priority, parameters)

    def model(
        self,
        name: str,
        *,
        version: str | int = "",
        deadline: float | None = None,
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> Model:
        """The model as a callable object; its signature is asked for now.

        Args:
            name: the model; those served as ``<name>.<method>`` are attributes of the object.
            version: as for ``run``, as are all options: every call is made with them.
            deadline: seconds for each call, and for this one.
            outputs: as for ``run``; a call gives the array itself where only one is asked for.
            priority: as for ``run``.
            parameters: as for ``run``.

        Raises:
            ModelNotFound: no such model or version.
            ModelNotReady: it is there but not loaded.
            InvalidInput: it has no such output.
        """
        options = CallOptions(version, deadline, outputs, priority, parameters)
        facts = self._drive(describe(self._operations, name, options))
        return Model(
            self._drive,
            self._infer,
            self._pool,
            self._operations,
            self._settings.addresses[0],
            facts,
        )

    def stream(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str | int = "",
        deadline: float | None = None,
        priority: int = 0,
        parameters: Mapping[str, str | int | float | bool] | None = None,
    ) -> Stream:
        """One inference with any number of answers; over gRPC only.

        Args:
            name: the model; one that is not decoupled gives a single chunk.
            inputs: as for ``run``.
            outputs: as for ``run``.
            version: as for ``run``.
            deadline: seconds for the whole stream, in place of the client's; ``float("inf")`` for
                no limit.
            priority: as for ``run``.
            parameters: as for ``run``.

        Returns:
            An iterator of chunks, each name -> array as ``run`` returns them.

        Raises:
            InvalidInput: the inputs do not fit the model, and nothing was run; or the client
                speaks HTTP.
            ModelNotFound, ModelNotReady: as for ``run``.

        What the model fails on, as InferenceFailed, comes after the chunks before it.
        """
        session = StreamSession(
            self._operations, name, inputs, outputs, version, deadline, priority, parameters
        )
        return Stream(self._drive, session, self._settings.addresses[0])

    def sequence(
        self, name: str, *, version: str | int = "", deadline: float | None = None
    ) -> ModelSequence:
        """Requests to a model that keeps a state from one to the next.

        Args:
            name: the model, or an ensemble of which one keeps a state.
            version: as for ``run``.
            deadline: seconds for each of its requests, in place of the client's.

        Returns:
            What to send them with; nothing is sent yet. Leaving it (``with``) ends the sequence.
        """
        session = SequenceSession(self._operations, name, version, deadline)
        return ModelSequence(self._drive, session)

    def is_ready(self, model: str | None = None, *, deadline: float | None = None) -> bool:
        """Whether the server (and the model) would take a request now; False if nobody answers.

        Of several servers, all those that answer must.
        """
        return self._drive(self._operations.is_ready(model, deadline))

    def wait_until_ready(self, timeout: float = 30.0, model: str | None = None) -> None:
        """Wait for the server, or for one model on it.

        Raises:
            DeadlineExceeded: not ready after ``timeout`` seconds; says why.
        """
        self._drive(self._operations.wait_until_ready(timeout, model))

    def is_healthy(self, *, deadline: float | None = None) -> bool:
        """Whether the server answers, whatever the state of its models; False if nobody does."""
        return self._drive(is_healthy(self._operations.limit(deadline)))

    def wait_for_server(self, timeout: float = 60.0) -> None:
        """Wait until the server answers (``is_healthy``), though no model may be ready yet.

        Raises:
            DeadlineExceeded: no answer after ``timeout`` seconds; says why.
        """
        self._drive(wait_for_server(timeout))

    def get_service_info(self, *, deadline: float | None = None) -> ServiceInfo:
        """Name, version and protocol extensions of the server."""
        return self._drive(get_service_info(self._operations.limit(deadline)))

    def load_model(self, name: str, *, deadline: float | None = None) -> None:
        """Load or reload a model, at each server in turn, and wait until it is ready.

        A server that loads on demand has its model manager do it.

        Raises:
            ModelLoadFailed: with the server's reason.
            ModelNotFound, ModelNotReady: the manager knows no such model, or has no room for it.
        """
        self._drive(self._operations.load_model(name, deadline))

    def unload_model(self, name: str, *, deadline: float | None = None) -> None:
        """Tell every server to unload a model; it finishes the work in flight first.

        Raises:
            ModelNotFound: no such model.
            InvalidInput: a model manager keeps it: it is pinned, or a loaded model calls it.
        """
        self._drive(self._operations.unload_model(name, deadline))

    def statistics(
        self, name: str, version: str | int = "", *, deadline: float | None = None
    ) -> ModelStatistics:
        """Counters of a model since it was loaded, summed over its versions unless one is named.

        They are summed over the servers that answer, too.

        Raises:
            ModelNotFound: no such model or version.
            ModelNotReady: it is there but not loaded.
        """
        return self._drive(self._operations.statistics(name, version, deadline))

    def stats(self) -> ClientStats:
        """What this client counted of its own inferences so far; nothing is asked of the server.

        ``later - earlier`` of two such snapshots is what came between them.
        """
        return self._operations.observer.recorder.snapshot()

    @property
    def transport(self) -> Transport:
        """How tensors travel now, and why."""
        return self._operations.shared_memory.transport

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        if not self._closed:
            self._pool.close()  # first: what waits there is cancelled, rather than refused
            self._drive(self._operations.shared_memory.close())
            self._closed = True
            self._transports.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._settings})"

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self)

    def _begin_anew(self) -> None:
        """In the child of a fork: what threads and the server know is the parent's."""
        self._routing = Routing(self._settings.addresses, self._settings.retries)
        self._operations.begin_anew()
        if not self._closed:
            self._transports.begin_anew()

    def _infer(self, *asked: Any, either: bool = False) -> dict[str, npt.NDArray[Any]]:
        """One inference: the usual one as straight as can be, any other as an operation."""
        is_open = not self._closed
        inference = self._operations.ready(*asked, either=either) if is_open else None
        if inference is None:
            return self._drive(self._operations.run(*asked, either=either))
        try:
            answer = self._transports[0].perform(inference.call)
        except BaseException as error:  # noqa: BLE001 - raised again, and told, by the operation
            failures = [error]
        else:
            self._routing.was_answered()
            return inference.answered(answer)
        return self._drive(self._operations.resumed(inference, *asked, either=either), failures)

    def _drive(self, operation: Operation[T], failures: list[BaseException] | None = None) -> T:
        """What the operation comes to; its first call ended in the failure, if there is one."""
        if self._closed and not failures:
            raise ClientClosed(f"{self!r} is closed; make a new one")
        routed = self._routing.routed(operation)
        try:
            step = next(routed)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = routed.send(None)
                    continue
                if self._closed and isinstance(step, Call) and not failures:
                    raise ClientClosed(f"{self!r} was closed before the answer")
                try:
                    if failures:
                        raise failures.pop()  # without a name here, it does not refer to itself
                    answer = self._transports[step.endpoint].perform(step)
                except (NosClientError, ValueError) as error:  # ValueError: gRPC's, once closed
                    if self._closed and isinstance(step, Call):
                        raise ClientClosed(f"{self!r} was closed before the answer") from error
                    if not isinstance(error, NosClientError):
                        raise
                    step = routed.throw(error)
                else:
                    step = routed.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            routed.close()
