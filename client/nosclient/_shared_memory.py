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
from dataclasses import replace
from typing import Any

import numpy as np

from nosclient._call import Call, Deadline, Operation, Pause, RegionCall, Tensor
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    ServerUnavailable,
    Unauthorized,
)
from nosclient._model_info import Signature
from nosclient._observer import Observed
from nosclient._output_sizes import LEAST, Outputs, OutputSizes, is_numeric
from nosclient._shared_pool import Lease, Place, Pool, padded
from nosclient._shared_region import abandoned, is_left_behind, unlink_left_behind
from nosclient._transport_kind import Mode, Transport

_FIRST_RELEASE = (2, 50)
"""Triton 24.09: before it, a region that is taken back while it is used crashes the server."""
_PATIENCE_SECONDS = 5.0
"""Until what the server may still be at is tried to be taken back again."""
_GOODBYE_SECONDS = 1.0
_TRIES, _AGAIN_SECONDS = 10, 0.02
_USED = "in use"
_GONE = "Unable to find shared memory region"
_TOO_SMALL = "shared memory size specified with the request for output"
_ANSWERED = (
    *(InvalidInput, ModelNotFound, ModelNotReady, InferenceFailed, ServerError),
    *(Unauthorized, MessageTooLarge),
)
"""Errors that the server sent itself: it is done with the request."""

_log = logging.getLogger("nosclient")


class SharedMemory:
    """What one client shares with its server.

    Args:
        mode: ``off``; ``auto``: where it can be had; ``system``: nothing else will do.
        servers: of the client; there is no sharing with several.
        limit: bytes that may be shared at most; None for half of what the system has free.
    """

    def __init__(self, mode: Mode, servers: int = 1, limit: int | None = None) -> None:
        self._mode = mode
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
        if self._wire:
            return (yield from send(call, observed))
        inputs = [tensor for tensor in call.tensors if _is_worth(tensor)]
        wanted = self._sizes.wanted(signature, call)
        if not (inputs or wanted):
            answer = yield from send(call, observed)
            self._sizes.learn(signature, call, answer)
            return answer
        limit = Deadline(call.timeout)
        placed = yield from self._placed(signature, call, inputs, wanted, limit)
        if placed is None:
            if self._mode == "system":
                raise ServerError(f'{self._wire}; shared_memory="auto" takes the wire instead')
            return (yield from send(replace(call, timeout=limit.remaining()), observed))
        try:
            answer = yield from send(placed, observed)
        except _ANSWERED as error:
            if _GONE in error.message:  # it was started again
                self._forget()
            elif _TOO_SMALL not in error.message:
                raise
            answer = yield from send(replace(call, timeout=limit.remaining()), observed)
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
            yield from _clear(names, limit, _TRIES)

    def _placed(
        self,
        signature: Signature,
        call: Call,
        inputs: Sequence[Tensor],
        wanted: Sequence[tuple[str, int]],
        limit: Deadline,
    ) -> Operation[Call | None]:
        if self._pool.is_of_another_process:
            self._pool.drop_all()
            self._unsure.clear()
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
        return replace(
            call, timeout=limit.remaining(), tensors=tensors, outputs=outputs, places=places
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
            yield from _clear([name for name in _names(status) if is_left_behind(name)], limit)
        except (*_ANSWERED, KeyError, ValueError) as error:
            self._give_up(f"the server does not offer it: {error}")
            return False
        except (ServerUnavailable, DeadlineExceeded):
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
            _log.debug("shared memory: %s", error)
            return None
        try:
            shared = RegionCall(region.name, region.key, region.size)
            yield Call("register_system_shared_memory", limit.remaining(), region=shared)
        except _ANSWERED as error:
            self._pool.drop(region)
            self._give_up(f"the server cannot map it: {error}")
            return None
        except (ServerUnavailable, DeadlineExceeded):
            self._pool.drop(region)
            self._unsure.append((region.name, time.monotonic()))
            return None
        finally:
            region.unlink()
        self._is_known = True
        return Lease(self._pool, region)

    def _take_back(self, limit: Deadline) -> Operation[None]:
        """Regions of requests whose end was not seen."""
        now = time.monotonic()
        due = [name for name, since in self._unsure if now - since >= _PATIENCE_SECONDS]
        if not due:
            return
        self._unsure = [entry for entry in self._unsure if entry[0] not in due]
        for name in due:
            try:
                yield from _unregister(name, limit)
            except NosClientError as error:
                if _USED in error.message or not isinstance(error, _ANSWERED):
                    self._unsure.append((name, now))

    def _keep_from_use(self, placed: Call) -> None:
        now = time.monotonic()
        places = [tensor.place for tensor in placed.tensors if tensor.place is not None]
        for lease in {place.lease for place in (*places, *placed.places.values())}:
            region = lease.keep_from_use()
            self._pool.drop(region)
            self._unsure.append((region.name, now))

    def _forget(self) -> None:
        self._pool.drop_all()
        self._unsure.clear()
        self._is_known = False

    def _give_up(self, reason: str) -> None:
        if not self._wire:
            self._wire = f"shared memory: {reason}"
            level = logging.INFO if self._mode == "auto" else logging.WARNING
            _log.log(level, "tensors travel on the wire; %s", self._wire)


def _abandon(pool: Pool) -> None:
    """A client that was dropped without being closed: the next one gives back for it."""
    abandoned.update(region.name for region in pool.drop_all())


def _unregister(name: str, limit: Deadline) -> Operation[None]:
    region = RegionCall(name)
    yield Call("unregister_system_shared_memory", limit.remaining(), region=region)


def _clear(names: Sequence[str], limit: Deadline, tries: int = 1) -> Operation[None]:
    """Let the server give back what it can; what it uses is tried again, if that is wanted."""
    while names:
        used = []
        for name in names:
            try:
                yield from _unregister(name, limit)
            except _ANSWERED as error:  # another client was quicker, but for:
                if _USED in error.message:
                    used.append(name)
                    continue
            abandoned.discard(name)
        names, tries = used, tries - 1
        if tries <= 0:
            return
        # Triton lets go of a region a little after it has sent the answer.
        yield Pause(_AGAIN_SECONDS)


def _names(status: Any) -> list[str]:
    """Of the regions in the server's answer: a list over HTTP, a mapping over gRPC."""
    regions = status.get("regions", {}) if isinstance(status, dict) else status
    return [
        str(row["name"]) for row in (regions.values() if isinstance(regions, dict) else regions)
    ]


def _is_worth(tensor: Tensor) -> bool:
    return tensor.array.nbytes >= LEAST and is_numeric(tensor.datatype)
