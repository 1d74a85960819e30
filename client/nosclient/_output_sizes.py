"""A call goes in; the outputs that are worth a place in shared memory come out, and their sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nosclient._call import Call
from nosclient._model_info import Signature, TensorInfo

LEAST = 64 << 10
"""Bytes from which on a tensor goes through shared memory; below, the wire is as fast."""
Outputs = dict[str, npt.NDArray[Any]]


class OutputSizes:
    """Sizes of outputs: as their models declare them, or as large as they were so far."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], int] = {}  # bytes an item

    def wanted(self, signature: Signature, call: Call) -> list[tuple[str, int]]:
        """Names of outputs worth it, and the bytes that each takes."""
        batch = _batch(signature, call)
        found = []
        for info in signature.outputs:
            if call.outputs is not None and info.name not in call.outputs:
                continue
            size = self._seen.get((call.model, call.version, info.name))
            if size is None:
                size = _item_bytes(info, is_batched=signature.max_batch_size > 0)
            if size is not None and size * batch >= LEAST:
                found.append((info.name, size * batch))
        return found

    def learn(self, signature: Signature, call: Call, answer: Outputs) -> None:
        """Remember how large outputs are whose sizes vary."""
        batch = _batch(signature, call)
        for info in signature.outputs:
            array = answer.get(info.name)
            if array is None or array.nbytes < LEAST or not is_numeric(info.datatype):
                continue
            if _item_bytes(info, is_batched=signature.max_batch_size > 0) is None:
                key = (call.model, call.version, info.name)
                self._seen[key] = max(-(-array.nbytes // batch), self._seen.get(key, 0))


def is_numeric(datatype: str) -> bool:
    """Whether numpy has the datatype, with a fixed number of bytes for each element."""
    return datatype not in ("BYTES", "BF16")


def _batch(signature: Signature, call: Call) -> int:
    has_axis = signature.max_batch_size > 0 and call.tensors
    return int(call.tensors[0].array.shape[0]) if has_axis else 1


def _item_bytes(info: TensorInfo, *, is_batched: bool) -> int | None:
    """Of one item of the batch, or of the whole tensor; None where sizes vary."""
    shape = info.shape[1:] if is_batched else info.shape
    if not is_numeric(info.datatype) or any(size < 0 for size in shape):
        return None
    return int(np.prod(shape, dtype=np.int64)) * info.dtype.itemsize
