"""A flavour goes in; where its kernel timings are kept comes out; timings go in and out."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.store.folders import cache_folder

if TYPE_CHECKING:
    from nosbuild.optimize.tensorrt.flavours import Flavour


def timing_cache_file(flavour: Flavour) -> Path | None:
    """One file for each version and GPU model, in nosbuild's cache; None where it has no use."""
    if not flavour.times_kernels or flavour.gpu is None:
        return None
    gpu = re.sub(r"[^A-Za-z0-9.]+", "_", flavour.gpu.name)
    return cache_folder() / "tensorrt" / f"{flavour.name}-{flavour.version}-{gpu}.timing"


def load_timings(config: Any, file: Path) -> None:
    """Give the builder what earlier builds measured; a cache that it refuses counts as empty."""
    data = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(data)
    if cache is None and data:
        sys.stderr.write(f"{file} is no timing cache of this TensorRT; it is begun anew\n")
        cache = config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)


def keep_timings(config: Any, file: Path) -> None:
    """Write what it knows now; of two builds at once the later one stays, whole."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        making = file.with_name(f"{file.name}.{os.getpid()}")
        making.write_bytes(memoryview(cache.serialize()))
        making.replace(file)
    except OSError as error:  # the engine is there: the next build is only slower
        sys.stderr.write(f"the timing cache {file} was not written: {error}\n")
