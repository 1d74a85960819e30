"""States leave the interface of config.pbtxt and become Triton's to keep."""

import pytest
from tritonclient.grpc import model_config_pb2
from variants import make_variant, write_spec

from nosbuild.repository.config import interface_digest, model_config, warmup_files
from nosbuild.verify.golden import read_golden

STATEFUL = """
source: {onnx: model.onnx}
inputs: {audio: "float32[batch, 512]", state: "float32[batch, 2, 128]"}
outputs: {speech: "float32[batch, 512]", state_next: "float32[batch, 2, 128]"}
dims: {batch: 1..4..16}
state: {state: state_next}
"""
TEXT = """
source: {onnx: model.onnx}
inputs: {word: "string[1]", before: "string[n]"}
outputs: {said: "string[1]", after: "string[n]"}
dims: {n: 1..4..16}
state: {before: after}
"""


@pytest.fixture
def config_of(repository, scratch):
    def build(text):
        spec = write_spec(repository, text)
        variant = make_variant(scratch, spec)
        warmup, files = warmup_files(variant, spec, read_golden(variant.golden)[0].inputs, "p")
        assert not files
        return model_config(variant, spec, warmup, [1])

    return build


def test_a_state_is_kept_by_triton(config_of):
    config = config_of(STATEFUL)
    assert [tensor.name for tensor in config.input] == ["audio"]
    assert [tensor.name for tensor in config.output] == ["speech"]
    assert config.max_batch_size == 16
    assert not config.HasField("dynamic_batching")
    (state,) = config.sequence_batching.state
    assert (state.input_name, state.output_name) == ("state", "state_next")
    assert (state.data_type, list(state.dims)) == (model_config_pb2.TYPE_FP32, [2, 128])
    (initial,) = state.initial_state
    assert (initial.zero_data, list(initial.dims)) == (True, [2, 128])
    assert initial.data_type == model_config_pb2.TYPE_FP32


def test_a_state_that_varies_begins_with_one(config_of):
    config = config_of(TEXT)
    assert config.max_batch_size == 0
    (state,) = config.sequence_batching.state
    assert (state.data_type, list(state.dims)) == (model_config_pb2.TYPE_STRING, [-1])
    assert list(state.initial_state[0].dims) == [1]


def test_limits_of_sequences(config_of):
    section = config_of(STATEFUL).sequence_batching
    assert section.max_sequence_idle_microseconds == 1_000_000
    assert section.oldest.max_candidate_sequences == 64
    more = "sequence: {max_sequences: 300, idle_timeout_us: 2000000}"
    section = config_of(STATEFUL + more).sequence_batching
    assert section.max_sequence_idle_microseconds == 2_000_000
    assert section.oldest.max_candidate_sequences == 300


def test_a_slot_for_each_sequence(config_of):
    section = config_of(STATEFUL + "sequence: {strategy: direct}").sequence_batching
    assert section.WhichOneof("strategy_choice") == "direct"


def test_nothing_is_warmed_up(config_of):
    """Triton's warm-up requests belong to no sequence and bring no state."""
    assert not config_of(STATEFUL).model_warmup


def test_versions_with_other_states_are_not_served_together(config_of):
    digests = {
        interface_digest(config_of(text))
        for text in (
            STATEFUL,
            STATEFUL.replace("128", "64"),
            STATEFUL + "sequence: {max_sequences: 300}",
        )
    }
    assert len(digests) == 2
