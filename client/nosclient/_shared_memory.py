"""An inference goes in; the same goes out, its large tensors through shared memory.

Nothing is copied into messages or through sockets then: inputs are copied once into memory that
the server maps, outputs are written there by the server and handed out as views. Where that cannot
be had, on another machine for example, everything travels on the wire as it did.

No socket here: these generators yield calls, like all operations.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from nosclient._call import Call, Deadline, Operation, RegionCall, Tensor
from nosclient._errors import (
    DeadlineExceeded,
    NosClientError,
    ServerError,
    ServerUnavailable,
)
from nosclient._model_info import Signature
from nosclient._observer import Observed
from nosclient._output_sizes import LEAST, Outputs, OutputSizes, is_numeric
from nosclient._shared_pool import Lease, Place, Pool, padded
from nosclient._shared_region import abandoned, is_left_behind, unlink_left_behind
from nosclient._shared_with_server import ANSWERED, IN_USE, TRIES, clear, names_of, unregister
from nosclient._transport_kind import Mode, Transport

_FIRST_RELEASE = (2, 50)
"""Triton 24.09: before it, a region that is taken back while it is used crashes the server."""
_PATIENCE_SECONDS = 5.0
"""Until what the server may still be at is tried to be taken back again."""
_GOODBYE_SECONDS = 1.0
_GONE = "Unable to find shared memory region"
_TOO_SMALL = "shared memory size specified with the request for output"

_log = logging.getLogger("nosclient")


class SharedMemory:
    """What one client shares with its server.

    Args:
        mode: ``off``; ``auto``: where it can be had; ``system``: nothing else will do.
        servers: of the client; there is no sharing with several.
        retries: 0: a request that was lost is not sent again, on the wire.
        limit: bytes that may be shared at most; None for half of what the system has free.
    """

    def __init__(
        self, mode: Mode, servers: int = 1, retries: int = 0, limit: int | None = None
    ) -> None:
        self._mode = mode
        self.is_off = mode == "off"
        self._retries = retries
        self._no_room = ""
        self._pool = Pool(limit)
        self._is_known = False  # that the server maps this machine's memory
        self._wire = "" if mode != "off" else 'shared_memory="off"'
        if not self._wire and servers > 1:
            self._wire = "shared memory is for one server, and there are several"
        self._sizes = OutputSizes()
        self._unsure: list[tuple[str, float]] = []  # names the server may be at, and since when
        weakref.finalize(self, _abandon, self._pool).atexit = False

    @property
    def transport(self) -> Transport:
        """What is used now, and why."""
        if self._wire:
            return Transport("wire", self._wire)
        if self._is_known:
            return Transport("system", f"tensors of {LEAST >> 10} KiB and more")
        return Transport("wire", f"no tensor of {LEAST >> 10} KiB and more was sent yet")

    def infer(
        self,
        signature: Signature,
        call: Call,
        send: Callable[[Call, Observed], Operation[Outputs]],
        observed: Observed,
    ) -> Operation[Outputs]:
        """The answer to a call, whose tensors go through shared memory where that is quicker.

        ``send`` is given the call as it is to be sent, and who watches it.

        Raises:
            ServerError: they cannot, and ``system`` was asked for.
        """
        if self.is_off or (self._wire and self._mode == "auto"):
            return (yield from send(call, observed))
        inputs = [tensor for tensor in call.tensors if _is_worth(tensor)]
        wanted = self._sizes.wanted(signature, call)
        if not (inputs or wanted):
            answer = yield from send(call, observed)
            self._sizes.learn(signature, call, answer)
            return answer
        limit = Deadline(call.timeout)
        placed = None
        if not self._wire:
            placed = yield from self._placed(signature, call, inputs, wanted, limit)
        if placed is None:
            if self._mode == "system":
                reason = self._wire or f"shared memory: {self._no_room}"
                raise ServerError(f'{reason}; shared_memory="auto" takes the wire instead')
            return (yield from send(call._replace(timeout=limit.remaining()), observed))
        try:
            answer = yield from send(placed, observed)
        except ANSWERED as error:
            if _GONE in error.message:  # it was started again
                self._forget(placed)
            elif _TOO_SMALL in error.message:
                observed.runs_again()
            else:
                raise
            answer = yield from send(call._replace(timeout=limit.remaining()), observed)
        except ServerUnavailable as error:
            self._keep_from_use(placed)
            if not (error.was_sent and self._retries):
                raise
            answer = yield from send(call._replace(timeout=limit.remaining()), observed)
        except BaseException:
            self._keep_from_use(placed)
            raise
        self._sizes.learn(signature, call, answer)
        return answer

    def close(self) -> Operation[None]:
        """Give back what the server maps; what it is still at, another client will."""
        names = [region.name for region in self._pool.drop_all()]
        names += [name for name, _ in self._unsure]
        self._wire, self._unsure = "the client is closed", []
        abandoned.update(names)
        limit = Deadline(_GOODBYE_SECONDS)
        with suppress(ServerUnavailable, DeadlineExceeded):
            yield from clear(names, limit, TRIES)

    def begin_anew(self) -> None:
        """In the child of a fork: the regions are the parent's, which goes on using them."""
        self._pool.begin_anew()
        self._unsure, self._is_known = [], False

    def _placed(
        self,
        signature: Signature,
        call: Call,
        inputs: Sequence[Tensor],
        wanted: Sequence[tuple[str, int]],
        limit: Deadline,
    ) -> Operation[Call | None]:
        if not (self._is_known or (yield from self._probe(limit))):
            return None
        yield from self._take_back(limit)
        source = yield from self._leased(sum(padded(one.array.nbytes) for one in inputs), limit)
        target = yield from self._leased(sum(padded(size) for _, size in wanted), limit)
        if (inputs and source is None) or self._wire:
            return None
        tensors, offset = [], 0
        for tensor in call.tensors:
            if source is not None and _is_worth(tensor):
                place = Place(source, offset, tensor.array.nbytes)
                np.copyto(place.view(tensor.array.dtype, tensor.array.shape), tensor.array)
                tensor = tensor._replace(place=place)
                offset += padded(place.size)
            tensors.append(tensor)
        outputs, places, offset = call.outputs, {}, 0
        if target is not None:
            for name, size in wanted:
                places[name] = Place(target, offset, size)
                offset += padded(size)
            # Where one is named, all are: the server sends no others.
            outputs = outputs or [info.name for info in signature.outputs]
        return call._replace(
            timeout=limit.remaining(), tensors=tensors, outputs=outputs, places=places
        )

    def _probe(self, limit: Deadline) -> Operation[bool]:
        """Whether the server can be asked to share, and what it still holds of dead clients."""
        unlink_left_behind()
        try:
            metadata = yield Call("get_server_metadata", limit.remaining())
            release = tuple(int(part) for part in metadata["version"].split(".")[:2])
            if release < _FIRST_RELEASE:
                self._give_up(f"Triton {metadata['version']} cannot take memory back safely")
                return False
            status = yield Call("get_system_shared_memory_status", limit.remaining())
            yield from clear([name for name in names_of(status) if is_left_behind(name)], limit)
        except (*ANSWERED, KeyError, ValueError) as error:
            self._give_up(f"the server does not offer it: {error}")
            return False
        except (ServerUnavailable, DeadlineExceeded):
            if self._mode == "system":
                raise
            return False
        return True

    def _leased(self, size: int, limit: Deadline) -> Operation[Lease | None]:
        if not size:
            return None
        if (lease := self._pool.take(size)) is not None:
            return lease
        try:
            region = self._pool.make(size)
        except OSError as error:  # for now: others may give some back
            self._no_room = str(error)
            _log.debug("shared memory: %s", error)
            return None
        try:
            shared = RegionCall(region.name, region.key, region.size)
            yield Call("register_system_shared_memory", limit.remaining(), region=shared)
        except ANSWERED as error:
            self._pool.drop(region)
            self._give_up(f"the server cannot map it: {error}")
            return None
        except BaseException as error:  # among others: the task was cancelled
            self._pool.drop(region)
            self._unsure.append((region.name, time.monotonic()))
            is_passing = isinstance(error, ServerUnavailable | DeadlineExceeded)
            if is_passing and self._mode == "auto":
                return None
            raise
        finally:
            region.unlink()
        self._is_known = True
        return Lease(self._pool, region)

    def _take_back(self, limit: Deadline) -> Operation[None]:
        """Regions of requests whose end was not seen."""
        now = time.monotonic()
        for entry in list(self._unsure):
            name, since = entry
            if now - since < _PATIENCE_SECONDS:
                continue
            try:
                self._unsure.remove(entry)
            except ValueError:  # another thread is at it
                continue
            try:
                yield from unregister(name, limit)
            except BaseException as error:
                is_answer = isinstance(error, ANSWERED)
                if not is_answer or IN_USE in str(error):
                    self._unsure.append((name, now))
                if not isinstance(error, NosClientError):
                    raise

    def _keep_from_use(self, placed: Call) -> None:
        now = time.monotonic()
        for lease in _leases(placed):
            region = lease.keep_from_use()
            self._pool.drop(region)
            self._unsure.append((region.name, now))

    def _forget(self, placed: Call) -> None:
        """Begin anew, unless another thread did since the call was made."""
        if not any(self._pool.has(lease.region) for lease in _leases(placed)):
            return
        self._pool.drop_all()
        self._unsure.clear()
        self._is_known = False

    def _give_up(self, reason: str) -> None:
        if not self._wire:
            self._wire = f"shared memory: {reason}"
            level = logging.INFO if self._mode == "auto" else logging.WARNING
            _log.log(level, "tensors travel on the wire; %s", self._wire)


def _leases(placed: Call) -> set[Lease]:
    inputs = (tensor.place for tensor in placed.tensors if tensor.place is not None)
    return {place.lease for place in (*inputs, *placed.places.values())}


def _abandon(pool: Pool) -> None:
    """A client that was dropped without being closed: the next one gives back for it."""
    abandoned.update(region.name for region in pool.drop_all())


def _is_worth(tensor: Tensor) -> bool:
    return tensor.array.nbytes >= LEAST and is_numeric(tensor.datatype)
