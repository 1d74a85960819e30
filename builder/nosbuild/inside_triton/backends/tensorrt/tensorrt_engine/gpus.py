"""Nothing goes in; the GPUs of this machine come out, or the reason why there is none."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

DRIVER_LIBRARY = "libcuda.so.1"
"""Comes with NVIDIA's driver; no toolkit and no package is needed to ask it."""

# cuda.h
_NO_DEVICE = 100
_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU, as CUDA sees it (``CUDA_VISIBLE_DEVICES`` counts)."""

    index: int
    name: str
    compute_capability: str
    """``9.0``."""
    memory_bytes: int
    driver: str
    """NVIDIA's driver, such as ``580.65.06``; empty where it does not tell."""
    cuda: str
    """Newest CUDA that the driver knows, such as ``13.0``."""


@dataclass(frozen=True)
class NoGpu:
    """Nothing to compute on."""

    reason: str
    """A clause: ``no NVIDIA driver was found (libcuda.so.1)``."""


class CudaCallFailed(Exception):
    """A call of the driver did not succeed; the text names both."""

    def __init__(self, function: str, code: int, words: str) -> None:
        super().__init__(f"{function}: {words} (CUDA error {code})")
        self.code = code
        self.words = words


class Driver:
    """CUDA's driver interface, through ctypes.

    Raises:
        OSError: there is no driver.
        CudaCallFailed: it does not start.
    """

    def __init__(self, library: str = DRIVER_LIBRARY) -> None:
        self._library = ctypes.CDLL(library)
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, function: str, *arguments: object) -> None:
        """Raises CudaCallFailed unless it answers CUDA_SUCCESS."""
        code = int(getattr(self._library, function)(*arguments))
        if code:
            words = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(words))
            text = (words.value or b"no reason given").decode(errors="replace")
            raise CudaCallFailed(function, code, text)

    def number(self, function: str, *arguments: object) -> int:
        """What the function writes to its first argument, an int."""
        answer = ctypes.c_int()
        self.call(function, ctypes.byref(answer), *arguments)
        return answer.value


def gpus(library: str = DRIVER_LIBRARY) -> tuple[Gpu, ...] | NoGpu:
    """Ask the driver; at least one GPU, or the reason.

    Without a driver that takes microseconds; with one, as long as the driver takes to start.
    """
    try:
        driver = Driver(library)
        count = driver.number("cuDeviceGetCount")
        if not count:
            return NoGpu("NVIDIA's driver is there, but sees no GPU (CUDA_VISIBLE_DEVICES?)")
        return tuple(_gpu(driver, index) for index in range(count))
    except OSError:
        return NoGpu(f"no NVIDIA driver was found ({library})")
    except CudaCallFailed as failed:
        if failed.code == _NO_DEVICE:
            return NoGpu("NVIDIA's driver is there, but sees no GPU (CUDA_VISIBLE_DEVICES?)")
        return NoGpu(f"NVIDIA's driver does not work: {failed}")


def _gpu(driver: Driver, index: int) -> Gpu:
    device = driver.number("cuDeviceGet", ctypes.c_int(index))
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.call("cuDeviceGetName", name, ctypes.c_int(_NAME_BYTES), ctypes.c_int(device))
    memory = ctypes.c_size_t()
    driver.call("cuDeviceTotalMem_v2", ctypes.byref(memory), ctypes.c_int(device))
    major, minor = (
        driver.number("cuDeviceGetAttribute", ctypes.c_int(attribute), ctypes.c_int(device))
        for attribute in _COMPUTE_CAPABILITY
    )
    cuda = driver.number("cuDriverGetVersion")
    return Gpu(
        index=index,
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major}.{minor}",
        memory_bytes=memory.value,
        driver=_driver_version(),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
    )


def _driver_version(file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """``NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  ...``."""
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", file.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""
