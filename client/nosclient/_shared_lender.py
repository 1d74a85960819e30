"""A size goes in, a region that the server maps comes out; for one kind of memory.

Regions are registered, used again, and given back here, also where the end of a request was not
seen, the server was started again, or a client before this one left some behind.

No socket here: these generators yield calls, like all operations.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Iterable

from nosclient._call import Call, Deadline, Operation
from nosclient._errors import DeadlineExceeded, NosClientError, ServerUnavailable
from nosclient._shared_pool import Lease, Pool
from nosclient._shared_region import Kind, Region, abandoned, is_left_behind
from nosclient._shared_with_server import (
    ANSWERED,
    IN_USE,
    METHODS,
    TRIES,
    clear,
    names_of,
    register,
    unregister,
)

_FIRST_RELEASE = (2, 50)
"""Triton 24.09: before it, a region that is taken back while it is used crashes the server."""
_PATIENCE_SECONDS = 5.0
"""Until what the server may still be at is tried to be taken back again."""
_GOODBYE_SECONDS = 1.0

_log = logging.getLogger("nosclient")


class Lender:
    """What one client shares with its server, of one kind of memory.

    Args:
        kind: of memory.
        is_needed: nothing else will do, so that a server that does not answer is an error.
        limit: bytes that may be shared at most; None for what the kind has room for.
    """

    def __init__(self, kind: Kind, *, is_needed: bool, limit: int | None = None) -> None:
        self.kind = kind
        self.is_known = False
        """Whether the server is known to map this machine's memory."""
        self.refusal = ""
        """Why it is not tried any more; empty while it is."""
        self.no_room = ""
        """Why there was none for the last request that got none."""
        self.is_needed = is_needed
        self._pool = Pool(kind, limit)
        # What the server may be at, and since when.
        self._unsure: list[tuple[Region, float]] = []
        weakref.finalize(self, _abandon, self._pool, self._unsure).atexit = False

    def is_ready(self, limit: Deadline) -> Operation[bool]:
        """Whether a region may be asked for; what can be given back is given back before."""
        if self.refusal:
            return False
        if not (self.is_known or (yield from self._probe(limit))):
            return False
        yield from self._take_back(limit)
        return True

    def begin_anew(self) -> None:
        """In the child of a fork: the regions are the parent's, which goes on using them."""
        self._pool.begin_anew()
        self._unsure.clear()
        self.is_known = False

    def lease(self, size: int, limit: Deadline) -> Operation[Lease | None]:
        """A region of at least so many bytes; None where there is none."""
        if (lease := self._pool.take(size)) is not None:
            return lease
        try:
            region = self._pool.make(size)
        except OSError as error:  # for now: others may give some back
            self.no_room = str(error)
            _log.debug("shared memory: %s", error)
            return None
        try:
            yield from register(region, limit)
        except ANSWERED as error:
            self._pool.drop(region)
            self.give_up(f"the server cannot map it: {error}")
            return None
        except BaseException as error:  # among others: the task was cancelled
            self._pool.drop(region)
            self._unsure.append((region, time.monotonic()))
            is_passing = isinstance(error, ServerUnavailable | DeadlineExceeded)
            if is_passing and not self.is_needed:
                return None
            raise
        finally:
            region.was_offered()
        self.is_known = True
        return Lease(self._pool, region)

    def keep_from_use(self, leases: Iterable[Lease]) -> None:
        """The server may still be at these: they are given back later."""
        now = time.monotonic()
        for lease in leases:
            if lease.pool is self._pool:
                region = lease.keep_from_use()
                self._pool.drop(region)
                self._unsure.append((region, now))

    def forget(self, leases: Iterable[Lease]) -> None:
        """Begin anew, unless another thread did since these were leased."""
        if not any(self._pool.has(lease.region) for lease in leases):
            return
        now = time.monotonic()
        regions = [*self._pool.drop_all(), *(region for region, _ in self._unsure)]
        # A server that was not started again, but told to forget, would have some of them still.
        self._unsure[:] = [(region, now) for region in regions if region.is_held]
        self.is_known = False

    @property
    def why_not(self) -> str:
        """Why tensors do not go this way, for a person to read."""
        return f"{self.kind.title}: {self.refusal or self.no_room}"

    def give_up(self, reason: str) -> None:
        """Try it no more."""
        if not self.refusal:
            self.refusal = reason
            level = logging.WARNING if self.is_needed else logging.INFO
            _log.log(level, "%s; %s", self.kind.instead, self.why_not)

    def close(self) -> Operation[None]:
        """Give back what the server maps; what it is still at, another client will."""
        regions = [*self._pool.drop_all(), *(region for region, _ in self._unsure)]
        self._unsure.clear()
        self.refusal = "the client is closed"
        _leave(regions)
        names = [region.name for region in regions]
        try:
            yield from clear(self.kind.name, names, Deadline(_GOODBYE_SECONDS), TRIES)
        except ServerUnavailable as error:
            if not error.was_sent:  # it ended, and all its mappings with it
                for name in names:
                    abandoned.pop(name, None)
        except DeadlineExceeded:
            return

    def _probe(self, limit: Deadline) -> Operation[bool]:
        """Whether the server can be asked to share, and what it still holds of dead clients."""
        if reason := self.kind.missing():
            self.give_up(reason)
            return False
        self.kind.clean_up()
        try:
            metadata = yield Call("get_server_metadata", limit.remaining())
            release = tuple(int(part) for part in metadata["version"].split(".")[:2])
            if release < _FIRST_RELEASE:
                self.give_up(f"Triton {metadata['version']} cannot take memory back safely")
                return False
            status = yield Call(METHODS[self.kind.name].status, limit.remaining())
            names = [name for name in names_of(status) if is_left_behind(name)]
            yield from clear(self.kind.name, names, limit)
        except (*ANSWERED, KeyError, ValueError) as error:
            self.give_up(f"the server does not offer it: {error}")
            return False
        except (ServerUnavailable, DeadlineExceeded):
            if self.is_needed:
                raise
            return False
        return True

    def _take_back(self, limit: Deadline) -> Operation[None]:
        """Regions of requests whose end was not seen."""
        now = time.monotonic()
        for entry in list(self._unsure):
            region, since = entry
            if now - since < _PATIENCE_SECONDS:
                continue
            try:
                self._unsure.remove(entry)
            except ValueError:  # another thread is at it
                continue
            try:
                yield from unregister(self.kind.name, region.name, limit)
            except BaseException as error:
                is_answer = isinstance(error, ANSWERED)
                if not is_answer or IN_USE in str(error):
                    self._unsure.append((region, now))
                if not isinstance(error, NosClientError):
                    raise


def _leave(regions: Iterable[Region]) -> None:
    abandoned.update((region.name, region if region.is_held else None) for region in regions)


def _abandon(pool: Pool, unsure: Iterable[tuple[Region, float]]) -> None:
    """A client that was dropped without being closed: the next one gives back for it."""
    _leave([*pool.drop_all(), *(region for region, _ in unsure)])
