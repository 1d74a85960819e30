"""Regions of shared memory, used again and again: leased for a request, or while a view lives."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nosclient._shared_region import Kind, KindName, Region

_ALIGNMENT = 64


def padded(size: int) -> int:
    """Bytes up to where the next tensor of a region may begin."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Pool:
    """The regions of one client at one server.

    Args:
        kind: of memory.
        limit: bytes of all regions together; None for what the kind has room for.
    """

    def __init__(self, kind: Kind, limit: int | None = None) -> None:
        self._kind = kind
        self._limit = limit
        self._lock = threading.Lock()
        self._free: dict[int, list[Region]] = defaultdict(list)
        # Filled without the lock: a lease may be collected while this thread holds it.
        self._returned: deque[Region] = deque()
        self._all: dict[str, Region] = {}
        self._bytes = 0

    def take(self, size: int) -> Lease | None:
        """A region that is free; None where a new one has to be made."""
        with self._lock:
            while self._returned:
                region = self._returned.popleft()
                if region.name in self._all:
                    self._free[region.size].append(region)
            free = self._free[self._rounded(size)]
            return Lease(self, free.pop()) if free else None

    def make(self, size: int) -> Region:
        """A new region, which the server does not know yet.

        Raises:
            OSError: there is no room for it.
        """
        size = self._rounded(size)
        with self._lock:
            if self._limit is None:
                self._limit = self._kind.room()
            if self._bytes + size > self._limit:
                raise OSError(
                    f"there is room for {self._limit >> 20} MiB of {self._kind.name} memory"
                )
            self._bytes += size
        try:
            region = self._kind.make(size)
        except BaseException:
            with self._lock:
                self._bytes -= size
            raise
        with self._lock:
            self._all[region.name] = region
        return region

    def drop(self, region: Region) -> None:
        """The server does not know it, or not any more; views of it stay what they are."""
        with self._lock:
            if self._all.pop(region.name, None) is not None:
                self._bytes -= region.size
            free = self._free[region.size]
            if region in free:
                free.remove(region)

    def has(self, region: Region) -> bool:
        """Whether it is still one of them."""
        return region.name in self._all

    def drop_all(self) -> list[Region]:
        """Begin anew; returns what there was."""
        with self._lock:
            regions = list(self._all.values())
            self._all.clear()
            self._free.clear()
            self._returned.clear()
            self._bytes = 0
        return regions

    def begin_anew(self) -> None:
        """In the child of a fork, where another thread may have held the lock."""
        self._lock = threading.Lock()
        self.drop_all()

    def give_back(self, region: Region) -> None:
        """It may be leased again, unless it was dropped meanwhile."""
        if self.has(region):
            self._returned.append(region)

    def _rounded(self, size: int) -> int:
        """At most a quarter more, so that requests of about one size share regions."""
        smallest = self._kind.smallest
        size = max(size, smallest)
        step = max(1 << (size.bit_length() - 3), smallest)
        return -(-size // step) * step


class Lease:
    """A region in use; it is free again when this and all views of it are gone.

    Attributes:
        region: itself.
        pool: where it is given back to; None once it is not to be.
    """

    def __init__(self, pool: Pool, region: Region) -> None:
        self.region = region
        self.pool: Pool | None = pool

    def keep_from_use(self) -> Region:
        """The server may still be at it: it is not to be given back."""
        self.pool = None
        return self.region

    def __del__(self) -> None:
        if self.pool is not None:
            self.pool.give_back(self.region)


class Place(NamedTuple):
    """Where a tensor stands."""

    lease: Lease
    offset: int
    size: int

    @property
    def kind(self) -> KindName:
        """Of which memory it is."""
        return self.lease.region.kind

    def view(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The tensor itself; the region stays in use as long as a view of it lives."""
        return self.lease.region.view(self.offset, dtype, shape, self.lease)
