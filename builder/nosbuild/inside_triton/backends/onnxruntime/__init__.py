"""ONNX Runtime, from inside Triton's Python backend."""
