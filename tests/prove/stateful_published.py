"""Published models with states, written as a build leaves them."""

import numpy as np
import published_models as published
from onnx import helper
from published_models import FLOAT

INPUTS = {name: (FLOAT, ["batch", 1]) for name in ("x", "total", "count")}
OUTPUTS = {name: (FLOAT, ["batch", 1]) for name in ("mean", "total_next", "count_next")}
ONE = np.ones(1, np.float32)


def steps(numbers, total=0.0, count=0.0):
    """(item, answer) of each request of one sequence."""
    for x in numbers:
        item = {"x": x * ONE, "total": total * ONE, "count": count * ONE}
        total, count = total + x, count + 1
        answer = {"mean": total / count * ONE, "total_next": total * ONE, "count_next": count * ONE}
        yield item, answer


def running_mean(repository, name="running_mean", swapped=False, strategy="oldest", begins=True):
    """The mean of a sequence's x so far, of two states.

    Args:
        swapped: config.pbtxt hands each state to the other: right for the first request alone.
        begins: False: the golden samples start in the middle of a sequence.
    """
    folder = repository / name
    start = {} if begins else {"total": 5.0, "count": 2.0}
    sequences = [[2, 4, 9], [1, 0, 8, 8], [7], [3, 5]]
    published.publish(
        folder,
        [
            helper.make_node("Add", ["total", "x"], ["total_next"]),
            helper.make_node("Add", ["count", "one"], ["count_next"]),
            helper.make_node("Div", ["total_next", "count_next"], ["mean"]),
        ],
        INPUTS,
        OUTPUTS,
        [pair for numbers in sequences for pair in steps(numbers, **start)],
        constants=[("one", np.float32(1))],
        spec="state: {total: total_next, count: count_next}\n",
    )
    pairs = {"total": "total_next", "count": "count_next"}
    if swapped:
        pairs = dict(zip(pairs, reversed(pairs.values()), strict=True))
    places = "max_candidate_sequences: 64" if strategy == "oldest" else ""
    states = "\n".join(
        f'  state {{ input_name: "{before}" output_name: "{after}" data_type: TYPE_FP32 dims: 1 '
        'initial_state { name: "zeros" data_type: TYPE_FP32 dims: 1 zero_data: true } }'
        for before, after in pairs.items()
    )
    (folder / "config.pbtxt").write_text(
        f'name: "{name}" backend: "onnxruntime" max_batch_size: 16\n'
        'input { name: "x" data_type: TYPE_FP32 dims: 1 }\n'
        'output { name: "mean" data_type: TYPE_FP32 dims: 1 }\n'
        f"sequence_batching {{\n  max_sequence_idle_microseconds: 5000000\n"
        f"  {strategy} {{ {places} }}\n{states}\n}}\n"
        "instance_group { count: 1 kind: KIND_CPU }\n"
    )
