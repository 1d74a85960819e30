"""A fake server with the models of ``models/``, as far as a test asks them."""

from __future__ import annotations

import numpy as np

from nosclient.testing import FakeServer

ORDER = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
ORDER += ["fp16", "fp32", "fp64", "string"]


def same_as_the_real_models() -> FakeServer:
    server = FakeServer()
    datatypes = {name: "BYTES" if name == "string" else name.upper() for name in ORDER}

    @server.model(
        inputs={f"{name}?": f"{datatype}[-1,-1]" for name, datatype in datatypes.items()},
        outputs={f"{name}_out?": f"{datatype}[-1,-1]" for name, datatype in datatypes.items()},
        max_batch_size=8,
        dynamic_batching=True,
    )
    def echo(**inputs):
        """Gives back what it is given."""
        return {f"{name}_out": array for name, array in inputs.items()}

    @server.model(
        inputs={"x": "FP32[1]", "text": "BYTES[1]", "matrix": "FP32[-1,2]"},
        outputs={"doubled": "FP32[1]", "upper": "BYTES[1]", "transposed": "FP32[2,-1]"},
    )
    def scalar(x, text, matrix):
        return {"doubled": x * 2, "upper": [text[0].decode().upper()], "transposed": matrix.T}

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def failing(x):
        raise ValueError("the model does not like this number")

    @server.model(inputs={"seconds": "FP32[1]"}, outputs={"slept": "FP32[1]"})
    def slow(seconds):
        slow.latency = float(seconds[0])
        return {"slept": seconds}

    @server.model(
        inputs={"seconds": "FP32[-1,1]"},
        outputs={"slept": "FP32[-1,1]"},
        max_batch_size=1,
        dynamic_batching=True,
    )
    def queue(seconds):
        return {"slept": seconds}

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"}, loaded=False)
    def broken(x):
        raise AssertionError("it cannot be loaded")

    broken.load_error = "weights are missing"

    @server.model(
        inputs={"x": "INT64[-1,1]"},
        outputs={"total": "INT64[-1,1]", "open": "INT64[-1,1]"},
        max_batch_size=8,
        sequence=True,
    )
    def totals(state, x):
        if x.item() < 0:
            raise ValueError(f"x is {x.item()}")
        totals.latency = 0.7 if x.item() > 1000 else 0
        state["total"] = state.get("total", 0) + x.item()
        return {"total": [[state["total"]]], "open": [[totals.open_sequences]]}

    @server.model(
        inputs={"n": "INT64[1]", "seconds?": "FP32[1]", "echo?": "BYTES[-1]"},
        outputs={"tick": "INT64[1]", "echoed?": "BYTES[-1]"},
        decoupled=True,
    )
    def ticker(n, seconds=(0,), echo=None):
        ticker.latency = float(seconds[0])
        fails_at = server.requests[-1].parameters.get("fails_at")
        for number in range(int(n[0])):
            if number == fails_at:
                raise ValueError("does not like this number")
            tick = {"tick": np.array([number])}
            yield tick if echo is None else {**tick, "echoed": echo}

    return server
