"""Requests and answers through system shared memory: only their places travel over gRPC.

Format: Triton's docs/protocol/extension_shared_memory.md.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import (
    InferenceServerException,
    np_to_triton_dtype,
    serialize_byte_tensor,
)
from tritonclient.utils import shared_memory as shm

from nosbuild.prove.callers import Step
from nosbuild.prove.wire import Arrays
from nosbuild.tensors import dtype_from_triton
from nosclient import InferenceFailed, ModelNotReady, NosClientError, ServerUnavailable

FOLDER = "/dev/shm"
_ALIGNMENT = 64
_TEXT_SLACK = 4096
"""Bytes more than expected, so that a wrong text comes back and is judged."""


def bytes_needed(inputs: Arrays, like: Arrays) -> int:
    """Size of a region for one request and its answer."""
    return sum(_aligned(_size(a)) for a in inputs.values()) + sum(
        _aligned(_room(a)) for a in like.values()
    )


def free_bytes() -> int:
    """What shared memory takes yet: writing beyond it kills the process (SIGBUS)."""
    try:
        system = os.statvfs(FOLDER)
    except OSError:
        return 0
    return system.f_bavail * system.f_frsize


class SharedMemoryCaller:
    """One region for each request that may be in flight at once."""

    def __init__(
        self, url: str, model: str, version: int, deadline: float, regions: int, size: int
    ) -> None:
        """``size``: bytes of each region (see :func:`bytes_needed`)."""
        self._model, self._version, self._deadline = model, str(version), deadline
        self._client = triton.InferenceServerClient(url)
        self._regions: list[tuple[str, Any]] = []
        self._free: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        prefix = f"nosbuild-prove-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            for number in range(regions):
                name = f"{prefix}-{number}"
                region = (name, shm.create_shared_memory_region(name, name, size, create_only=True))
                self._regions.append(region)
                with self._translated():
                    self._client.register_system_shared_memory(name, f"/{name}", size)
                self._free.put(region)
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Arrays, like: Arrays) -> Arrays:
        """The outputs of one request, copied out of the region."""
        return self._run(inputs, like, {})

    def sequence(self) -> Step:
        """A new sequence, of one thread."""
        identity = secrets.randbelow(2**63 - 1) + 1

        def step(inputs: Arrays, like: Arrays, *, first: bool, last: bool) -> Arrays:
            place = {"sequence_id": identity, "sequence_start": first, "sequence_end": last}
            return self._run(inputs, like, place)

        return step

    def close(self) -> None:
        """Unregisters and removes every region."""
        for name, region in self._regions:
            # A server that is gone holds none.
            with suppress(InferenceServerException):
                self._client.unregister_system_shared_memory(name)
            shm.destroy_shared_memory_region(region)
        self._regions.clear()
        self._client.close()

    def _run(self, inputs: Arrays, like: Arrays, sequence: dict[str, Any]) -> Arrays:
        region = self._free.get()
        try:
            return self._run_in(*region, inputs, like, sequence)
        finally:
            self._free.put(region)

    def _run_in(
        self, name: str, region: Any, inputs: Arrays, like: Arrays, sequence: dict[str, Any]
    ) -> Arrays:
        offset = 0
        sent, wanted, places = [], [], {}
        for key, array in inputs.items():
            size = _write(region, array, offset)
            entry = triton.InferInput(key, list(array.shape), np_to_triton_dtype(array.dtype))
            entry.set_shared_memory(name, size, offset)
            sent.append(entry)
            offset += _aligned(size)
        for key, array in like.items():
            output = triton.InferRequestedOutput(key)
            output.set_shared_memory(name, _room(array), offset)
            wanted.append(output)
            places[key] = offset
            offset += _aligned(_room(array))
        with self._translated():
            result = self._client.infer(
                self._model,
                sent,
                model_version=self._version,
                outputs=wanted,
                client_timeout=self._deadline,
                **sequence,
            )
        return {key: _read(region, result.get_output(key), place) for key, place in places.items()}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors as nosclient tells them apart."""
        try:
            yield
        except InferenceServerException as error:
            raise self._meaning(error) from error

    def _meaning(self, error: InferenceServerException) -> NosClientError:
        message = str(error.message() or error)
        if "UNAVAILABLE" not in str(error.status()):
            return InferenceFailed(f"model {self._model!r} failed: {message}")
        # Triton's word for a full queue, and gRPC's for a lost connection.
        with suppress(InferenceServerException):
            if self._client.is_server_live():
                return ModelNotReady(f"model {self._model!r} took no request: {message}")
        return ServerUnavailable(message)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _size(array: np.ndarray) -> int:
    return len(_serialized(array)) if array.dtype == object else array.nbytes


def _room(array: np.ndarray) -> int:
    return _size(array) + (_TEXT_SLACK if array.dtype == object else 0)


def _serialized(array: np.ndarray) -> bytes:
    return bytes(serialize_byte_tensor(array).item()) if array.size else b""


def _write(region: Any, array: np.ndarray, offset: int) -> int:
    stored = serialize_byte_tensor(array) if array.dtype == object else array
    shm.set_shared_memory_region(region, [stored], offset)
    return _size(array)


def _read(region: Any, output: Any, offset: int) -> np.ndarray:
    shape = [int(size) for size in output.shape]
    dtype = dtype_from_triton(output.datatype).numpy
    if 0 in shape:
        return np.empty(shape, dtype)
    # A copy: a view that outlives the region reads freed memory.
    return np.array(shm.get_contents_as_numpy(region, dtype, shape, offset))
