"""An inference goes in; the same goes out, its large tensors through shared memory.

Nothing is copied into messages or through sockets then: inputs are copied once into memory that
the server maps, outputs are written there by the server and handed out as views. Where that cannot
be had, on another machine for example, everything travels on the wire as it did.

What lies on a GPU is copied within it, into memory there that the server maps. Tensors of the host
go there only where that is asked for: a copy to the GPU and back is for the server to decide.

No socket here: these generators yield calls, like all operations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from nosclient._call import Call, Deadline, Operation, Tensor
from nosclient._casts import Unfit
from nosclient._cuda_arrays import DeviceArray, on_gpu
from nosclient._cuda_region import CudaMemory
from nosclient._errors import InvalidInput, ServerError, ServerUnavailable
from nosclient._model_info import Signature
from nosclient._observer import Observed
from nosclient._output_sizes import LEAST, Outputs, OutputSizes, is_numeric
from nosclient._shared_lender import Lender
from nosclient._shared_pool import Lease, Place, padded
from nosclient._shared_with_server import ANSWERED
from nosclient._system_region import SystemMemory
from nosclient._transport_kind import Mode, Transport

_GONE = "Unable to find shared memory region"
_TOO_SMALL = "shared memory size specified with the request for output"


class SharedMemory:
    """What one client shares with its server.

    Args:
        mode: ``off``; ``auto``: where it can be had, that of a GPU for what lies there;
            ``system``, ``cuda``: nothing else will do.
        servers: of the client; there is no sharing with several.
        retries: 0: a request that was lost is not sent again, on the wire.
        limit: bytes that may be shared at most, of each kind; None for a part of what is free.
    """

    def __init__(
        self, mode: Mode, servers: int = 1, retries: int = 0, limit: int | None = None
    ) -> None:
        self._mode = mode
        self.is_off = mode == "off"
        self._retries = retries
        self._off = "" if mode != "off" else 'shared_memory="off"'
        if not self._off and servers > 1:
            self._off = "shared memory is for one server, and there are several"
        self._sizes = OutputSizes()
        self._limit = limit
        self._system = Lender(SystemMemory(), is_needed=mode == "system", limit=limit)
        self._gpus: dict[int, Lender] = {}

    @property
    def transport(self) -> Transport:
        """What is used now, and why."""
        if self._off:
            return Transport("wire", self._off)
        gpus = list(self._gpus.values())
        refused = next((gpu.why_not for gpu in gpus if gpu.refusal), "")
        is_on_gpu = any(gpu.is_known and not gpu.refusal for gpu in gpus)
        if self._mode == "cuda":
            return _transport("cuda", is_on_gpu, refused)
        why_not = self._system.why_not if self._system.refusal else ""
        host = _transport("system", self._system.is_known, why_not)
        if is_on_gpu:
            return Transport("cuda", f"tensors on a GPU; others: {host}")
        return Transport(host.kind, f"{host.reason}; {refused}") if refused else host

    def on_gpu(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The inputs of an inference; large tensors on a GPU are left there, as DeviceArrays,
        while they may be sent from there.
        """
        if self._mode not in ("auto", "cuda") or self._off or not isinstance(inputs, dict):
            return inputs
        found = {}
        for name, value in inputs.items():
            if type(value) is np.ndarray or any(gpu.refusal for gpu in self._gpus.values()):
                continue
            array = on_gpu(value)
            if array is not None and array.nbytes >= LEAST:
                found[name] = array
        return {**inputs, **found} if found else inputs

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
            ServerError: they cannot, and ``system`` or ``cuda`` was asked for.
        """
        if self.is_off:
            return (yield from send(call, observed))
        is_on_gpu = any(isinstance(tensor.array, DeviceArray) for tensor in call.tensors)
        if self._off or (self._system.refusal and self._mode == "auto" and not is_on_gpu):
            return (yield from send(_on_host(call), observed))
        wanted = self._sizes.wanted(signature, call)
        if not (wanted or any(_is_worth(tensor) for tensor in call.tensors)):
            answer = yield from send(call, observed)
            self._sizes.learn(signature, call, answer)
            return answer
        limit = Deadline(call.timeout)
        placed = yield from self._placed(signature, call, wanted, limit)
        if not placed.is_in_shared_memory:
            return (yield from send(placed, observed))
        leases = _leases(placed)
        try:
            answer = yield from send(placed, observed)
        except ANSWERED as error:
            if _GONE in error.message:  # it was started again
                for lender in self._lenders:
                    lender.forget(leases)
            elif _TOO_SMALL in error.message:
                observed.runs_again()
            else:
                raise
            wire = _on_host(call)._replace(timeout=limit.remaining())
            answer = yield from send(wire, observed)
        except ServerUnavailable as error:
            for lender in self._lenders:
                lender.keep_from_use(leases)
            if not (error.was_sent and self._retries):
                raise
            wire = _on_host(call)._replace(timeout=limit.remaining())
            answer = yield from send(wire, observed)
        except BaseException:
            for lender in self._lenders:
                lender.keep_from_use(leases)
            raise
        self._sizes.learn(signature, call, answer)
        return answer

    def close(self) -> Operation[None]:
        """Give back what the server maps; what it is still at, another client will."""
        self._off = "the client is closed"
        for lender in self._lenders:
            yield from lender.close()

    @property
    def _lenders(self) -> list[Lender]:
        return [self._system, *self._gpus.values()]

    def begin_anew(self) -> None:
        """In the child of a fork: the regions are the parent's, which goes on using them."""
        for lender in self._lenders:
            lender.begin_anew()

    def _placed(
        self,
        signature: Signature,
        call: Call,
        wanted: Sequence[tuple[str, int]],
        limit: Deadline,
    ) -> Operation[Call]:
        """The call with what there is room for in shared memory; the rest is as it was."""
        tensors = list(call.tensors)
        gpus: dict[int, list[int]] = defaultdict(list)  # whose memory takes which tensors
        for index, tensor in enumerate(tensors):
            if isinstance(tensor.array, DeviceArray):
                gpus[tensor.array.device].append(index)
        host = [
            index
            for index, tensor in enumerate(tensors)
            if _is_worth(tensor) and not isinstance(tensor.array, DeviceArray)
        ]
        main = self._system
        if self._mode == "cuda":
            first = next(iter(gpus), 0)
            main = self._gpu(first)
            gpus[first] += host
        for number, chosen in gpus.items():
            yield from self._fill(self._gpu(number), tensors, chosen, limit)
        if self._mode != "cuda":
            left = [index for chosen in gpus.values() for index in chosen]
            host += [index for index in left if tensors[index].place is None]
            tensors = list(_on_host(call._replace(tensors=tensors)).tensors)
            yield from self._fill(main, tensors, host, limit)
        places = yield from self._targets(main, wanted, limit)
        outputs = call.outputs
        if places and outputs is None:  # where one is named, all are: the server sends no others
            outputs = [info.name for info in signature.outputs]
        return call._replace(
            timeout=limit.remaining(), tensors=tensors, outputs=outputs, places=places
        )

    def _fill(
        self, lender: Lender, tensors: list[Tensor], chosen: Sequence[int], limit: Deadline
    ) -> Operation[None]:
        """Give the chosen ones of the tensors their places, if there is a region for them."""
        if not chosen:
            return
        arrays = [tensors[index].array for index in chosen]
        lease = yield from self._lease(lender, sum(padded(one.nbytes) for one in arrays), limit)
        if lease is None:
            return
        places = _rowed(lease, [array.nbytes for array in arrays])
        try:
            for place, array in zip(places, arrays, strict=True):
                lease.region.fill(place.offset, array)
            lease.region.settle()
        except OSError as error:  # a GPU that is no more to be used by this process
            lender.give_up(str(error))
            self._insist(lender)
            return
        for place, index in zip(places, chosen, strict=True):
            tensors[index] = tensors[index]._replace(place=place)

    def _targets(
        self, lender: Lender, wanted: Sequence[tuple[str, int]], limit: Deadline
    ) -> Operation[dict[str, Place]]:
        """Where the server shall write those outputs; empty where there is no region for them."""
        if not wanted:
            return {}
        lease = yield from self._lease(lender, sum(padded(size) for _, size in wanted), limit)
        if lease is None:
            return {}
        places = _rowed(lease, [size for _, size in wanted])
        return {name: place for (name, _), place in zip(wanted, places, strict=True)}

    def _lease(self, lender: Lender, size: int, limit: Deadline) -> Operation[Lease | None]:
        lease = None
        if (yield from lender.is_ready(limit)):
            lease = yield from lender.lease(size, limit)
        if lease is None:
            self._insist(lender)
        return lease

    def _insist(self, lender: Lender) -> None:
        if lender.is_needed:
            way = "another way" if self._mode == "cuda" else "the wire"
            raise ServerError(f'{lender.why_not}; shared_memory="auto" takes {way} instead')

    def _gpu(self, number: int) -> Lender:
        if (lender := self._gpus.get(number)) is not None:
            return lender
        made = Lender(CudaMemory(number), is_needed=self._mode == "cuda", limit=self._limit)
        return self._gpus.setdefault(number, made)  # another thread may have been quicker


def _rowed(lease: Lease, sizes: Sequence[int]) -> list[Place]:
    """Places for tensors of these sizes, one after the other."""
    places, offset = [], 0
    for size in sizes:
        places.append(Place(lease, offset, size))
        offset += padded(size)
    return places


def _on_host(call: Call) -> Call:
    """The call with what lies on a GPU, and has no place yet, copied to the host."""
    tensors = []
    for tensor in call.tensors:
        if tensor.place is None and isinstance(tensor.array, DeviceArray):
            try:
                tensor = tensor._replace(array=tensor.array.to_host())
            except Unfit as unfit:
                raise InvalidInput(f"input {tensor.name!r} {unfit}") from unfit
        tensors.append(tensor)
    return call._replace(tensors=tensors)


def _transport(kind: Literal["system", "cuda"], is_known: bool, why_not: str) -> Transport:
    if why_not:
        return Transport("wire", why_not)
    if is_known:
        return Transport(kind, f"tensors of {LEAST >> 10} KiB and more")
    return Transport("wire", f"no tensor of {LEAST >> 10} KiB and more was sent yet")


def _leases(placed: Call) -> set[Lease]:
    inputs = (tensor.place for tensor in placed.tensors if tensor.place is not None)
    return {place.lease for place in (*inputs, *placed.places.values())}


def _is_worth(tensor: Tensor) -> bool:
    return tensor.array.nbytes >= LEAST and is_numeric(tensor.datatype)
