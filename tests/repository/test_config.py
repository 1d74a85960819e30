"""config.pbtxt: spec -> protobuf -> text -> protobuf."""

import json

import onnx
import pytest
from tritonclient.grpc import model_config_pb2
from variants import BATCHED, make_variant, write_spec

from nosbuild.errors import RepositoryError, SpecError
from nosbuild.inside_triton.python_model.nos_python_model.execution_deadline import PARAMETER
from nosbuild.repository.config import (
    check_settings,
    model_config,
    read_config,
    warmup_files,
    write_text,
)
from nosbuild.tensors import DTYPES
from nosbuild.verify.golden import read_golden


@pytest.fixture
def config_of(repository, scratch):
    """The configuration of a spec, after a round trip through its text."""

    def build(text, name="m"):
        spec = write_spec(repository, text, name)
        variant = make_variant(scratch, spec)
        warmup, _ = warmup_files(variant, spec, read_golden(variant.golden)[0].inputs, "p")
        config = model_config(variant, spec, warmup, [3, 4])
        file = scratch / "config.pbtxt"
        file.write_text(write_text(config))
        again = read_config(file)
        assert again == config
        assert write_text(again) == file.read_text()
        return again

    return build


def batched(more):
    return BATCHED + more


def test_batched(config_of):
    config = config_of(BATCHED)
    assert (config.name, config.backend, config.max_batch_size) == ("m", "onnxruntime", 16)
    (x,), (y,) = config.input, config.output
    assert (x.name, x.data_type, list(x.dims)) == ("x", model_config_pb2.TYPE_FP32, [4])
    assert (y.name, y.data_type, list(y.dims)) == ("y", model_config_pb2.TYPE_FP32, [4])
    assert not x.HasField("reshape")
    assert list(config.version_policy.specific.versions) == [3, 4]


def test_axes_are_named_for_the_client_where_one_varies_beside_the_batch(config_of):
    spec = """
source: {onnx: model.onnx}
inputs: {ids: "int64[batch, seq]", wide: "float32[batch, 4, seq]", size: "float32[batch, 2]"}
outputs: {y: "int64[batch, seq]", z: "float32[batch, 4, seq]", n: "float32[batch, 2]"}
dims: {batch: 1..4..16, seq: 1..8..32}
"""
    names = json.loads(config_of(spec).parameters["axis_names"].string_value)
    two, three = ["batch", "seq"], ["batch", "", "seq"]
    assert names == {"ids": two, "wide": three, "y": two, "z": three}
    assert "axis_names" not in config_of(BATCHED).parameters


def test_dynamic_batching_is_on_by_default_without_delay(config_of):
    config = config_of(BATCHED)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


def test_unbatched_has_no_batch_size_and_no_batching(config_of):
    config = config_of(
        'source: {onnx: model.onnx}\ninputs: {x: "int64[rows, 4]"}\n'
        'outputs: {y: "int64[rows, 4]"}\ndims: {rows: 1..2..8}'
    )
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [-1, 4]
    assert not config.HasField("dynamic_batching")
    assert [warmup.batch_size for warmup in config.model_warmup] == [1]


def test_an_axis_of_one_size_is_written_as_that_size(config_of):
    config = config_of(
        'source: {onnx: model.onnx}\ninputs: {x: "int8[batch, a, b]"}\n'
        'outputs: {y: "int8[batch, a, b]"}\ndims: {a: 2, b: 1..2..8}'
    )
    assert list(config.input[0].dims) == [2, -1]


def scalars(config_of, shape):
    return config_of(
        f'source: {{onnx: model.onnx}}\ninputs: {{x: "float32{shape}"}}\n'
        f'outputs: {{y: "float32{shape}"}}'
    )


def test_one_number_an_item_stands_as_one_with_an_empty_reshape(config_of):
    config = scalars(config_of, "[batch]")
    assert config.max_batch_size == 32
    for tensor in (config.input[0], config.output[0]):
        assert list(tensor.dims) == [1]
        assert tensor.HasField("reshape")
        assert list(tensor.reshape.shape) == []


def test_a_scalar_without_batch_has_no_reshape_because_triton_refuses_it(config_of):
    config = scalars(config_of, "[]")
    assert config.max_batch_size == 0
    for tensor in (config.input[0], config.output[0]):
        assert list(tensor.dims) == [1]
        assert not tensor.HasField("reshape")


def test_batching_off(config_of):
    assert not config_of(batched("batching: false")).HasField("dynamic_batching")


def test_every_setting_of_dynamic_batching(config_of):
    config = config_of(
        batched(
            "batching: {max_delay_us: 700, preferred: [4, 8],\n"
            "  priority_levels: 3, default_priority: 2,\n"
            "  queue: {max_size: 9, timeout_us: 50, action: delay, allow_timeout_override: true}}"
        )
    )
    section = config.dynamic_batching
    assert section.max_queue_delay_microseconds == 700
    assert list(section.preferred_batch_size) == [4, 8]
    assert (section.priority_levels, section.default_priority_level) == (3, 2)
    queue = section.default_queue_policy
    assert queue.timeout_action == queue.DELAY
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (9, 50)
    assert queue.allow_timeout_override


def test_preserved_ordering(config_of):
    config = config_of(batched("batching: {preserve_ordering: true}"))
    assert config.dynamic_batching.preserve_ordering


def test_a_queue_rejects_unless_told_to_delay(config_of):
    queue = config_of(batched("batching: {queue: {max_size: 1}}"))
    policy = queue.dynamic_batching.default_queue_policy
    assert policy.timeout_action == policy.REJECT


def test_instances_on_the_cpu_have_the_measured_count_and_threads(config_of):
    config = config_of(BATCHED)
    (group,) = config.instance_group
    assert (group.kind, group.count) == (group.KIND_CPU, 2)
    assert config.parameters["intra_op_thread_count"].string_value == "3"


def test_instances_on_gpus(config_of):
    config = config_of(batched("instances: {kind: gpu, gpus: [0, 2]}"))
    (group,) = config.instance_group
    assert (group.kind, list(group.gpus)) == (group.KIND_GPU, [0, 2])
    assert "intra_op_thread_count" not in config.parameters


def test_response_cache_is_written_only_when_asked_for(config_of):
    assert config_of(batched("response_cache: true")).response_cache.enable
    assert not config_of(BATCHED).HasField("response_cache")


def test_description_is_a_parameter(config_of):
    config = config_of(batched('description: "Größe [b] \\"x\\""'))
    assert config.parameters["description"].string_value == 'Größe [b] "x"'


@pytest.mark.parametrize(
    ("written", "text"), [("30", "30"), ("0.5", "0.5"), ("3600.25", "3600.25")]
)
def test_how_long_an_execution_may_take_is_a_parameter(config_of, written, text):
    config = config_of(batched(f"max_execution_seconds: {written}"))
    assert config.parameters[PARAMETER].string_value == text
    assert PARAMETER not in config_of(BATCHED).parameters


def test_optimization(config_of):
    config = config_of(
        batched(
            "optimization: {graph: {level: 1}, input_pinned_memory: {enable: false},\n"
            "  executionAccelerators: {gpuExecutionAccelerator: [{name: tensorrt}]}}"
        )
    )
    assert config.optimization.graph.level == 1
    assert config.optimization.HasField("input_pinned_memory")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"


def test_raw_takes_fields_in_snake_and_camel_case(config_of):
    config = config_of(
        batched(
            "raw: {model_transaction_policy: {decoupled: true},\n"
            "  modelOperations: {opLibraryFilename: [lib.so]}, metric_tags: {team: a}}"
        )
    )
    assert config.model_transaction_policy.decoupled
    assert list(config.model_operations.op_library_filename) == ["lib.so"]
    assert dict(config.metric_tags) == {"team": "a"}


def test_raw_adds_to_parameters_and_may_replace_single_ones(config_of):
    config = config_of(
        batched(
            "description: kept\n"
            "raw: {parameters: {mine: {string_value: a},\n"
            "  intra_op_thread_count: {stringValue: '7'}}}"
        )
    )
    found = {name: value.string_value for name, value in config.parameters.items()}
    assert found == {"description": "kept", "mine": "a", "intra_op_thread_count": "7"}


def test_raw_replaces_lists(config_of):
    config = config_of(
        batched("raw: {model_warmup: [{name: own, batch_size: 2, inputs: {}}]}"),
    )
    assert [warmup.name for warmup in config.model_warmup] == ["own"]


@pytest.mark.parametrize(
    ("more", "line", "parts"),
    [
        ("raw:\n  unheard_of: 1", 9, ["raw.unheard_of", "no field of", "parameters"]),
        (
            "raw:\n  metric_tags: {a: b}\n  model_transaction_policy: {decopled: true}",
            10,
            ["raw.model_transaction_policy", "decopled", "model_config.proto"],
        ),
        ("raw:\n  metric_tags: 5", 9, ["raw.metric_tags", "ModelConfig"]),
        (
            "batching: {priority_levels: 2, default_priority: 1, preserve_ordering: true}",
            8,
            ["batching.preserve_ordering", "2 priority levels", "remove one of the two"],
        ),
        ("optimization: {grph: {level: 1}}", 8, ["optimization", "grph", "model_config.proto"]),
    ],
)
def test_what_triton_does_not_take_is_refused_with_its_line(repository, more, line, parts):
    spec = write_spec(repository, batched(f"\n{more}"))
    with pytest.raises(SpecError) as caught:
        check_settings(spec)
    text = str(caught.value)
    assert f"model.yaml:{line}: " in text
    assert all(part in text for part in parts)


def test_warmup_at_batch_one_and_typical(config_of):
    one, typical = config_of(BATCHED).model_warmup
    assert (one.batch_size, typical.batch_size) == (1, 4)
    assert list(typical.inputs["x"].dims) == [4]
    assert typical.inputs["x"].data_type == model_config_pb2.TYPE_FP32


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_has_its_name_in_triton_onnx_and_numpy(name):
    dtype = DTYPES[name]
    assert dtype.config in model_config_pb2.DataType.keys()  # noqa: SIM118 - no mapping
    assert dtype.onnx in onnx.TensorProto.DataType.keys()  # noqa: SIM118 - no mapping
    if name == "bfloat16":
        with pytest.raises(TypeError, match="no bfloat16"):
            _ = dtype.numpy
    elif name != "string":
        assert dtype.numpy.itemsize == dtype.itemsize
        from_onnx = onnx.helper.tensor_dtype_to_np_dtype(
            onnx.TensorProto.DataType.Value(dtype.onnx)
        )
        assert from_onnx == dtype.numpy


def test_no_dtype_of_triton_is_left_out():
    known = {row.config for row in DTYPES.values()}
    assert set(model_config_pb2.DataType.keys()) - known == {"TYPE_INVALID"}


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bfloat16"])
def test_every_dtype_gets_a_config(config_of, dtype):
    config = config_of(
        f'source: {{onnx: model.onnx}}\ninputs: {{x: "{dtype}[batch, 2]"}}\n'
        f'outputs: {{y: "{dtype}[batch, 2]"}}'
    )
    assert model_config_pb2.DataType.Name(config.input[0].data_type) == DTYPES[dtype].config


def test_a_broken_config_names_file_and_line(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text('name: "m"\nmax_batch_siz: 4\n')
    with pytest.raises(RepositoryError, match=r"config\.pbtxt: 2:1 .*max_batch_siz"):
        read_config(file)


def test_a_config_that_is_no_text_is_an_error_of_the_repository(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(RepositoryError, match="cannot be read"):
        read_config(file)
