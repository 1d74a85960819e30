"""Memory of GPUs by process, from NVML: the driver's own library, so that no package is needed.

Source of the calls and structures: NVIDIA's nvml.h (NVML API reference, "Device Queries").
"""

from __future__ import annotations

import ctypes
import os

from .sizes import Sizes

_LIBRARY = "libnvidia-ml.so.1"
_MOST_PROCESSES = 1024
_UNKNOWN = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE."""


class _ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t, as of nvmlDeviceGetComputeRunningProcesses_v3."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class DeviceMemory:
    """The GPUs of this machine.

    Numbers are CUDA's where ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` holds, as it does for servers that
    nosbuild starts; ``CUDA_VISIBLE_DEVICES`` is heeded.

    Args:
        library: NVML's.
        visible: of ``CUDA_VISIBLE_DEVICES``; None: all.
    """

    def __init__(self, library: str = _LIBRARY, visible: str | None = None) -> None:
        self._nvml = _loaded(library)
        if visible is None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._devices = self._found(visible) if self._nvml else {}

    def of_processes(self) -> dict[int, Sizes]:
        """Process -> Sizes of GPUs; only of those that the driver tells. It numbers them as the
        host does: in a container of its own namespace none will be known.
        """
        found: dict[int, Sizes] = {}
        for number, device in self._devices.items():
            for pid, used in self._processes(device):
                found[pid] = found.get(pid, Sizes()) + Sizes({number: used})
        return found

    def _found(self, visible: str | None) -> dict[str, ctypes.c_void_p]:
        count = ctypes.c_uint()
        if self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return {}
        handles = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if not self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
                handles.append((str(index), self._uuid(handle), handle))
        if visible is None:
            return {number: handle for number, _, handle in handles}
        wanted = [word.strip() for word in visible.split(",") if word.strip()]
        chosen = [
            handle
            for word in wanted
            for number, uuid, handle in handles
            if word == number or (not word.isdigit() and uuid.startswith(word))
        ]
        return {str(number): handle for number, handle in enumerate(chosen)}

    def _uuid(self, handle: ctypes.c_void_p) -> str:
        text = ctypes.create_string_buffer(96)
        self._nvml.nvmlDeviceGetUUID(handle, text, 96)
        return text.value.decode(errors="replace")

    def _processes(self, handle: ctypes.c_void_p) -> list[tuple[int, int]]:
        rows = (_ProcessInfo * _MOST_PROCESSES)()
        count = ctypes.c_uint(_MOST_PROCESSES)
        if self._nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), rows):
            return []
        told = rows[: count.value]
        return [(row.pid, row.used) for row in told if row.used != _UNKNOWN]


def _loaded(library: str) -> ctypes.CDLL | None:
    """NVML; None where there is no driver of NVIDIA's, or one that is too old."""
    try:
        nvml = ctypes.CDLL(library)
        nvml.nvmlDeviceGetComputeRunningProcesses_v3  # noqa: B018 - looks it up
        return None if nvml.nvmlInit_v2() else nvml
    except (OSError, AttributeError):
        return None
