"""The versions of ONNX to export in: those that every server we target can load.

The ONNX Runtime of Triton 24.10, the oldest of them, is 1.19: opset 21 and IR 10 at most
(https://onnxruntime.ai/docs/reference/compatibility.html).
"""

OPSET = 20
"""Of the default domain; what torch's dynamo exporter makes best."""
ML_OPSET = 3
"""Of ``ai.onnx.ml``, for trees and the like."""
IR_VERSION = 10
"""Of the file format."""
