"""TensorRT, from inside Triton's Python backend."""
