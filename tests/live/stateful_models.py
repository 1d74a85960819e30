"""Tiny Triton models with states, for the live tests of sequences, written as a user would."""

from pathlib import Path

from onnx import helper
from tiny_models import FLOAT, INT64, STRING, config, onnx_model

OLDEST = "oldest { max_candidate_sequences: 128 }"


def state(name, kind, dims, initial=None, more="zero_data: true"):
    """A state ``name`` -> ``name_next``."""
    first = dims if initial is None else initial
    return f"""state {{
    input_name: "{name}" output_name: "{name}_next" data_type: {kind} dims: {dims}
    initial_state {{ name: "zeros" data_type: {kind} dims: {first} {more} }}
  }}"""


def sequences(*states, strategy=OLDEST, idle_us=60_000_000, more="instance_group { count: 1 }"):
    entries = "\n  ".join((f"max_sequence_idle_microseconds: {idle_us}", strategy, *states))
    return f"sequence_batching {{\n  {entries}\n}}\n{more}"


def tally(repository: Path, name="tally", idle_us=60_000_000, **more):
    """Total = total so far + x, batched."""
    folder = repository / name
    onnx_model(
        folder,
        [
            helper.make_node("Add", ["x", "total"], ["total_next"]),
            helper.make_node("Identity", ["total_next"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 4]), ("total", FLOAT, ["batch", 4])],
        [("y", FLOAT, ["batch", 4]), ("total_next", FLOAT, ["batch", 4])],
    )
    states = state("total", "TYPE_FP32", [4])
    section = sequences(states, idle_us=idle_us, **more)
    tensors = [("x", FLOAT, [4])], [("y", FLOAT, [4])]
    config(folder, *tensors, max_batch_size=16, more=section)


def tally_direct(repository: Path):
    """The same with a slot of the batch for each sequence."""
    tally(repository, "tally_direct", strategy="direct { }")


def tally_two_instances(repository: Path):
    """The same in two workers."""
    tally(repository, "tally_two_instances", more="instance_group { count: 2 kind: KIND_CPU }")


def tally_short(repository: Path):
    """The same, forgotten after a fifth of a second."""
    tally(repository, "tally_short", idle_us=200_000)


def tally_two_seconds(repository: Path):
    """The same, forgotten after two seconds."""
    tally(repository, "tally_two_seconds", idle_us=2_000_000)


def history(repository: Path):
    """A state that grows: every x so far, one after the other; y is their sum."""
    folder = repository / "history"
    onnx_model(
        folder,
        [
            helper.make_node("Concat", ["seen", "x"], ["seen_next"], axis=1),
            helper.make_node("ReduceSum", ["seen_next", "axes"], ["y"], keepdims=1),
        ],
        [("x", FLOAT, ["batch", 1]), ("seen", FLOAT, ["batch", "n"])],
        [("y", FLOAT, ["batch", 1]), ("seen_next", FLOAT, ["batch", "m"])],
        [helper.make_tensor("axes", INT64, [1], [1])],
    )
    section = sequences(state("seen", "TYPE_FP32", [-1], [1]))
    outputs = [("y", FLOAT, [1]), ("seen_next", FLOAT, [-1])]  # to look at; no client has to
    config(folder, [("x", FLOAT, [1])], outputs, max_batch_size=16, more=section)


def wide(repository: Path, name="wide", idle_us=60_000_000):
    """A state of 64 kB: the sum of all x so far, that many times."""
    folder = repository / name
    onnx_model(
        folder,
        [
            helper.make_node("Add", ["x", "sums"], ["sums_next"]),
            helper.make_node("ReduceMax", ["sums_next"], ["y"], axes=[1], keepdims=1),
        ],
        [("x", FLOAT, ["batch", 1]), ("sums", FLOAT, ["batch", 16384])],
        [("y", FLOAT, ["batch", 1]), ("sums_next", FLOAT, ["batch", 16384])],
    )
    many = "oldest { max_candidate_sequences: 1024 }"
    section = sequences(state("sums", "TYPE_FP32", [16384]), strategy=many, idle_us=idle_us)
    config(folder, [("x", FLOAT, [1])], [("y", FLOAT, [1])], max_batch_size=16, more=section)


def wide_short(repository: Path):
    """The same, forgotten after a fifth of a second."""
    wide(repository, "wide_short", 200_000)


def lookup(repository: Path):
    """Total of table[x] so far: fails for an index that is not in the table of ten."""
    folder = repository / "lookup"
    table = helper.make_tensor("table", FLOAT, [10], [float(10 * i) for i in range(10)])
    onnx_model(
        folder,
        [
            helper.make_node("Gather", ["table", "x"], ["found"]),
            helper.make_node("Add", ["found", "total"], ["total_next"]),
            helper.make_node("Identity", ["total_next"], ["y"]),
        ],
        [("x", INT64, ["batch", 1]), ("total", FLOAT, ["batch", 1])],
        [("y", FLOAT, ["batch", 1]), ("total_next", FLOAT, ["batch", 1])],
        [table],
    )
    waiting = "oldest { max_candidate_sequences: 8 max_queue_delay_microseconds: 100000 }"
    section = sequences(state("total", "TYPE_FP32", [1]), strategy=waiting)
    config(folder, [("x", INT64, [1])], [("y", FLOAT, [1])], max_batch_size=8, more=section)


def last_word(repository: Path):
    """Y = the word before, for strings, without a batch axis."""
    folder = repository / "last_word"
    onnx_model(
        folder,
        [
            helper.make_node("Identity", ["word"], ["y"]),
            helper.make_node("Identity", ["x"], ["word_next"]),
        ],
        [("x", STRING, [1]), ("word", STRING, [1])],
        [("y", STRING, [1]), ("word_next", STRING, [1])],
    )
    section = sequences(state("word", "TYPE_STRING", [1]))
    config(folder, [("x", STRING, [1])], [("y", STRING, [1])], more=section)


def from_seven(repository: Path):
    """A number without axes that starts at 7, from a file; y = 7 + all x so far."""
    folder = repository / "from_seven"
    onnx_model(
        folder,
        [
            helper.make_node("Add", ["x", "total"], ["total_next"]),
            helper.make_node("Identity", ["total_next"], ["y"]),
        ],
        [("x", INT64, []), ("total", INT64, [])],
        [("y", INT64, []), ("total_next", INT64, [])],
    )
    (folder / "initial_state").mkdir()
    (folder / "initial_state/seven").write_bytes((7).to_bytes(8, "little"))
    section = sequences(state("total", "TYPE_INT64", [1], more='data_file: "seven"'))
    config(folder, [("x", INT64, [1])], [("y", INT64, [1])], more=section)


ALL = (
    tally,
    tally_direct,
    tally_two_instances,
    tally_short,
    tally_two_seconds,
    history,
    wide,
    wide_short,
    lookup,
    last_word,
    from_seven,
)
