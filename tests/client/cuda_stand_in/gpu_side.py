"""What a Triton with a GPU does with regions, before a real one that has none.

The regions are looked after here, where the stand-in's memory is; everything else, with the values
that stood in them, is the real server's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from nosclient._call import Call
from nosclient._errors import DeadlineExceeded, InvalidInput

_library = ctypes.CDLL("libcuda.so.1")
allocations = _library.stand_in_allocations


class GpuSide:
    """In place of a client's transport."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.mapped: dict[str, tuple[int, int]] = {}
        self.is_late = False

    def perform(self, call: Call) -> Any:
        if call.method == "get_cuda_shared_memory_status":
            return {"regions": {name: {"name": name} for name in self.mapped}}
        if call.method == "register_cuda_shared_memory":
            handle, size = call.region.handle, call.region.size
            assert len(handle) == 64
            at, allocated = (int.from_bytes(handle[i : i + 8], "little") for i in (8, 32))
            assert (allocated, size % (2 << 20)) == (size, 0), "a region is a whole allocation"
            self.mapped[call.region.name] = at, size
            return None
        if call.method == "unregister_cuda_shared_memory":
            if (known := self.mapped.pop(call.region.name, None)) is not None:
                assert not _is_free(known[0]), "freed while it was mapped"
            return None
        if call.method != "infer":
            return self._transport.perform(call)
        if self.is_late:
            raise DeadlineExceeded("too late")
        here = [self._read(one) for one in call.tensors]
        places = {name: place for name, place in call.places.items() if place.kind != "cuda"}
        answer = dict(self._transport.perform(call._replace(tensors=here, places=places)))
        for name, place in call.places.items():
            if place.kind == "cuda":
                found = answer[name]
                assert found.nbytes <= place.size
                ctypes.memmove(self._address(place), found.tobytes(), found.nbytes)
                answer[name] = place.view(found.dtype, found.shape)
        return answer

    def close(self) -> None:
        self._transport.close()

    def _read(self, tensor: Any) -> Any:
        place = tensor.place
        if place is None or place.kind != "cuda":
            return tensor
        raw = ctypes.string_at(self._address(place), place.size)
        array = np.frombuffer(raw, tensor.array.dtype).reshape(tensor.array.shape)
        return tensor._replace(array=array, place=None)

    def _address(self, place: Any) -> int:
        name = place.lease.region.name
        if name not in self.mapped:
            raise InvalidInput(f"Unable to find shared memory region: '{name}'")
        at, size = self.mapped[name]
        assert place.offset + place.size <= size
        return at + place.offset


def _is_free(address: int) -> bool:
    return bool(
        _library.cuPointerGetAttribute(ctypes.byref(ctypes.c_int()), 9, ctypes.c_uint64(address))
    )
