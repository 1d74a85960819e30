"""An ONNX file goes in; a TensorRT engine for this machine's GPU comes out, still to be proven."""

from __future__ import annotations

from nosbuild.optimize.tensorrt.flavours import Flavour, builders
from nosbuild.optimize.tensorrt.profiles import profiles_from
from nosbuild.optimize.tensorrt.serving import check_engine
from nosbuild.optimize.tensorrt.tensorrt_from_onnx import tensorrt_from_onnx

__all__ = ["Flavour", "builders", "check_engine", "profiles_from", "tensorrt_from_onnx"]
