"""An inference goes in; the same goes out, its large tensors through shared memory.

Nothing is copied into messages or through sockets then: inputs are copied once into memory that
the server maps, outputs are written there by the server and handed out as views. Where that cannot
be had, on another machine for example, everything travels on the wire as it did.

No socket here: these generators yield calls, like all operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nosclient._call import Call, Deadline, Operation, Tensor
from nosclient._errors import ServerError, ServerUnavailable
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
        mode: ``off``; ``auto``: where it can be had; ``system``: nothing else will do.
        servers: of the client; there is no sharing with several.
        retries: 0: a request that was lost is not sent again, on the wire.
        limit: bytes that may be shared at most; None for half of what the system has free.
    """

    def __init__(
        self, mode: Mode, servers: int = 1, retries: int = 0, limit: int | None = None
    ) -> None:
        self._mode = mode
        self._retries = retries
        self._off = "" if mode != "off" else 'shared_memory="off"'
        if not self._off and servers > 1:
            self._off = "shared memory is for one server, and there are several"
        self._sizes = OutputSizes()
        self._system = Lender(SystemMemory(), is_needed=mode == "system", limit=limit)

    @property
    def transport(self) -> Transport:
        """What is used now, and why."""
        if self._off or self._system.refusal:
            return Transport("wire", self._off or self._system.why_not)
        if self._system.is_known:
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
        if self._off or (self._system.refusal and self._mode == "auto"):
            return (yield from send(call, observed))
        wanted = self._sizes.wanted(signature, call)
        if not (wanted or any(_is_worth(tensor) for tensor in call.tensors)):
            answer = yield from send(call, observed)
            self._sizes.learn(signature, call, answer)
            return answer
        limit = Deadline(call.timeout)
        placed = yield from self._placed(signature, call, wanted, limit)
        if not placed.is_in_shared_memory:
            return (yield from send(placed, observed))
        try:
            answer = yield from send(placed, observed)
        except ANSWERED as error:
            if _GONE in error.message:  # it was started again
                self._system.forget(_leases(placed))
            elif _TOO_SMALL not in error.message:
                raise
            answer = yield from send(call._replace(timeout=limit.remaining()), observed)
        except ServerUnavailable as error:
            self._system.keep_from_use(_leases(placed))
            if not (error.was_sent and self._retries):
                raise
            answer = yield from send(call._replace(timeout=limit.remaining()), observed)
        except BaseException:
            self._system.keep_from_use(_leases(placed))
            raise
        self._sizes.learn(signature, call, answer)
        return answer

    def close(self) -> Operation[None]:
        """Give back what the server maps; what it is still at, another client will."""
        self._off = "the client is closed"
        yield from self._system.close()

    def _placed(
        self,
        signature: Signature,
        call: Call,
        wanted: Sequence[tuple[str, int]],
        limit: Deadline,
    ) -> Operation[Call]:
        """The call with what there is room for in shared memory; the rest is as it was."""
        tensors = list(call.tensors)
        chosen = [index for index, tensor in enumerate(tensors) if _is_worth(tensor)]
        yield from self._fill(self._system, tensors, chosen, limit)
        places = yield from self._targets(self._system, wanted, limit)
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
        offset = 0
        for index, array in zip(chosen, arrays, strict=True):
            lease.region.fill(offset, array)
            place = Place(lease, offset, array.nbytes)
            tensors[index] = tensors[index]._replace(place=place)
            offset += padded(place.size)
        lease.region.settle()

    def _targets(
        self, lender: Lender, wanted: Sequence[tuple[str, int]], limit: Deadline
    ) -> Operation[dict[str, Place]]:
        """Where the server shall write those outputs; empty where there is no region for them."""
        if not wanted:
            return {}
        lease = yield from self._lease(lender, sum(padded(size) for _, size in wanted), limit)
        if lease is None:
            return {}
        places, offset = {}, 0
        for name, size in wanted:
            places[name] = Place(lease, offset, size)
            offset += padded(size)
        return places

    def _lease(self, lender: Lender, size: int, limit: Deadline) -> Operation[Lease | None]:
        lease = None
        if (yield from lender.is_ready(limit)):
            lease = yield from lender.lease(size, limit)
        if lease is None and lender.is_needed:
            raise ServerError(f'{lender.why_not}; shared_memory="auto" takes the wire instead')
        return lease


def _leases(placed: Call) -> set[Lease]:
    inputs = (tensor.place for tensor in placed.tensors if tensor.place is not None)
    return {place.lease for place in (*inputs, *placed.places.values())}


def _is_worth(tensor: Tensor) -> bool:
    return tensor.array.nbytes >= LEAST and is_numeric(tensor.datatype)
