"""Nothing goes in; the GPUs of this machine come out, or the reason why there is none.

The file that asks the driver also runs inside Triton, without nosbuild: it lives there.
"""

from __future__ import annotations

from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.gpus import Gpu, NoGpu, gpus

__all__ = ["Gpu", "NoGpu", "gpus"]
