"""What a pipeline's steps say, against what its models take and give: all of it before Triton."""

from dataclasses import dataclass, field

import pytest

from nosbuild.errors import SpecError
from nosbuild.export.pipeline import compile_pipeline
from nosbuild.export.pipeline_graph import Graph, Stage
from nosbuild.tensors import TensorSpec


@dataclass(frozen=True)
class Model:
    """What a built model tells of itself."""

    name: str
    inputs: tuple
    outputs: tuple
    max_batch_size: int = 8
    optional: frozenset = frozenset()
    decoupled: bool = False
    stateful: bool = False
    dims: dict = field(default_factory=dict)
    graph: Graph | None = None
    variant: str = "onnx-fp32"
    digest: str = "d"
    interface: str = "i"


def model(name, inputs, outputs, **more):
    tensors = [tuple(TensorSpec.parse(*row) for row in side.items()) for side in (inputs, outputs)]
    return Model(name, *tensors, **more)


TEXT = {"text": "string[batch]"}
TOKENS = {"ids": "int64[batch, ids_1]", "mask": "int64[batch, mask_1]"}
TOKENIZER = model("tokenizer", TEXT, TOKENS, max_batch_size=16)
MINILM = model(
    "minilm",
    {"input_ids": "int64[batch, seq]", "attention_mask": "int64[batch, seq]"},
    {"embedding": "float32[batch, 384]"},
    max_batch_size=32,
    dims={"batch": "1..4..32", "seq": "2..32..256"},
)
EMBEDDING = """
source:
  pipeline:
    - {model: minilm, in: {input_ids: ids, attention_mask: mask}, out: {embedding: vector}}
    - {model: tokenizer, in: {text: text}, out: {ids: ids, mask: mask}}
outputs: {embedding: vector}
"""


@pytest.fixture
def compiled(make_model):
    def run(text, *models):
        return compile_pipeline(make_model(text, name="p"), {one.name: one for one in models})

    return run


def declared(tensors):
    return {tensor.name: tensor.declaration for tensor in tensors}


def one_model(inputs, outputs, results, more=""):
    step = f"{{model: m, in: {inputs}, out: {outputs}}}"
    return f"source: {{pipeline: [{step}]}}\noutputs: {results}\n{more}"


def test_steps_come_in_the_order_in_which_they_can_run(compiled):
    pipeline = compiled(EMBEDDING, TOKENIZER, MINILM)
    assert [stage.model for stage in pipeline.graph.stages] == ["tokenizer", "minilm"]
    assert list(pipeline.graph.called) == ["tokenizer", "minilm"]
    assert pipeline.graph.stages[1].outputs == {"embedding": "embedding"}
    assert not pipeline.graph.decoupled


def test_the_ends_tell_the_tensors_and_the_smallest_model_the_batch(compiled):
    pipeline = compiled(EMBEDDING, TOKENIZER, MINILM)
    assert declared(pipeline.inputs) == {"text": "string[batch]"}
    assert declared(pipeline.outputs) == {"embedding": "float32[batch, 384]"}
    assert pipeline.default_dims == {"batch": "1..4..16"}


def test_an_axis_bears_one_name_and_has_the_range_of_all_models(compiled):
    more = model(
        "more", {"x": "int64[batch, words]"}, {"y": "int64[batch, words]"}, dims={"words": "8..300"}
    )
    text = """
source:
  pipeline:
    - {model: more, in: {x: tokens}, out: {y: ids}}
    - {model: minilm, in: {input_ids: ids, attention_mask: mask}, out: {embedding: vector}}
outputs: {vector: vector}
"""
    pipeline = compiled(text, more, MINILM)
    assert declared(pipeline.inputs) == {
        "tokens": "int64[batch, words]",
        "mask": "int64[batch, words]",
    }
    assert pipeline.default_dims["words"] == "8..32..256"


def test_a_size_that_one_model_fixes_holds_for_the_axis_everywhere(compiled):
    fixed = model("fixed", {"x": "float32[batch, 4]"}, {"y": "float32[batch]"})
    any_size = model("any", {"x": "float32[batch, n]"}, {"y": "float32[batch, n]"})
    text = """
source: {pipeline: [{model: any, in: {x: a}, out: {y: b}}, {model: fixed, in: {x: b}, out: {y: c}}]}
outputs: {c: c}
"""
    pipeline = compiled(text, any_size, fixed)
    assert declared(pipeline.inputs) == {"a": "float32[batch, 4]"}
    assert declared(pipeline.outputs) == {"c": "float32[batch]"}


def test_one_model_that_is_not_batched_makes_the_pipeline_so(compiled):
    rows = model("rows", {"x": "float32[n, 4]"}, {"y": "float32[]"}, max_batch_size=0)
    each = model("each", {"x": "float32[batch, 4]"}, {"y": "float32[batch, 4]"})
    text = """
source: {pipeline: [{model: each, in: {x: a}, out: {y: b}}, {model: rows, in: {x: b}, out: {y: c}}]}
outputs: {c: c}
"""
    pipeline = compiled(text, each, rows)
    assert declared(pipeline.inputs) == {"a": "float32[each_batch, 4]"}
    assert declared(pipeline.outputs) == {"c": "float32[]"}
    assert pipeline.default_dims == {"each_batch": "1..8..8"}


def test_optional_inputs_may_be_left_out(compiled):
    m = model(
        "m",
        {"x": "float32[batch, 2]", "scale": "float32[batch, 1]"},
        {"y": "float32[batch, 2]"},
        optional=frozenset({"scale"}),
    )
    assert declared(compiled(one_model("{x: x}", "{y: y}", "{y: y}"), m).inputs) == {
        "x": "float32[batch, 2]"
    }


def test_a_value_named_as_another_output_gets_another_name_inside(compiled):
    m = model("m", {"x": "float32[batch]"}, {"a": "float32[batch]", "b": "float32[batch]"})
    text = """
source:
  pipeline: [{model: m, in: {x: x}, out: {a: a, b: b}}, {model: m, in: {x: b}, out: {a: c}}]
outputs: {b: a, c: c}
"""
    first, second = compiled(text, m).graph.stages
    assert first.outputs == {"a": "b", "b": "_b"}
    assert second.inputs == {"x": "_b"}


def test_what_nothing_takes_is_left_out(compiled):
    m = model("m", {"x": "float32[batch]"}, {"a": "float32[batch]", "b": "float32[batch]"})
    (stage,) = compiled(one_model("{x: x}", "{a: a, b: b}", "{a: a}"), m).graph.stages
    assert stage.outputs == {"a": "a"}


def test_declared_inputs_name_the_axes(compiled):
    step = "    - {model: tokenizer, in: {text: text}, out: {ids: ids, mask: mask}}\n"
    text = EMBEDDING.replace(step, "")
    both = "ids: 'int64[batch, tokens]', mask: 'int64[batch, tokens]'"
    more = f"inputs: {{{both}}}\ndims: {{tokens: 4..8..16}}\n"
    pipeline = compiled(text + more, MINILM)
    assert declared(pipeline.inputs)["mask"] == "int64[batch, tokens]"


def test_a_pipeline_takes_over_the_steps_that_it_needs_of_another(compiled):
    x, y = {"x": "float32[batch, 2]"}, {"y": "float32[batch, 2]"}
    inner = Graph(
        (
            Stage("first", {"x": "a"}, {"y": "once"}),
            Stage("second", {"x": "once"}, {"y": "twice"}),
            Stage("third", {"x": "once"}, {"y": "other"}),
        ),
        decoupled=False,
        called={},
    )
    outputs = {"twice": "float32[batch, 2]", "other": "float32[batch, 2]"}
    models = [model(name, x, y) for name in ("first", "second", "third")]
    nested = model("inner", {"a": "float32[batch, 2]"}, outputs, graph=inner)
    text = """
source:
  pipeline:
    - {model: inner, in: {a: x}, out: {twice: z, other: unused}}
    - {model: first, in: {x: z}, out: {y: once}}
outputs: {y: once}
"""
    graph = compiled(text, nested, *models).graph
    assert graph.stages == (
        Stage("first", {"x": "x"}, {"y": "_0_once"}),
        Stage("second", {"x": "_0_once"}, {"y": "z"}),
        Stage("first", {"x": "z"}, {"y": "y"}),
    )
    assert graph.models == ("first", "second")
    assert "inner" in graph.called


STREAM = model("stream", {"x": "float32[4]"}, {"y": "float32[4]"}, max_batch_size=0, decoupled=True)
PLAIN = model("plain", {"x": "float32[4]"}, {"y": "float32[4]"}, max_batch_size=0)
PAIR = model("pair", {"a": "float32[4]", "b": "float32[4]"}, {"y": "float32[4]"}, max_batch_size=0)


def test_what_follows_a_stream_is_streamed(compiled):
    text = """
source:
  pipeline: [{model: stream, in: {x: a}, out: {y: b}}, {model: plain, in: {x: b}, out: {y: c}}]
outputs: {c: c}
"""
    assert compiled(text, STREAM, PLAIN).graph.decoupled


def edge(inputs="{input_ids: ids, attention_mask: mask}", tokens=TOKENS, minilm=MINILM, **more):
    text = EMBEDDING.replace("{input_ids: ids, attention_mask: mask}", inputs)
    return text, (model("tokenizer", TEXT, {**TOKENS, **tokens}, **more), minilm)


M = model("m", {"x": "float32[batch, n]"}, {"y": "float32[batch]"}, dims={"n": "2..4..8"})

WRONG = {
    "dtype": (
        *edge(tokens={"mask": "float32[batch, n]"}),
        "5: source.pipeline[0].in.attention_mask: tokenizer.mask is float32[batch, n], "
        "minilm.attention_mask takes int64[batch, seq]",
        "let both have one dtype",
    ),
    "axes": (
        *edge(tokens={"ids": "int64[batch, 2, n]"}),
        "5: source.pipeline[0].in.input_ids: tokenizer.ids is int64[batch, 2, n], "
        "minilm.input_ids takes int64[batch, seq]: 3 axes cannot be 2",
        "let both have one shape",
    ),
    "size": (
        *edge(
            tokens={"ids": "int64[batch, 8]"},
            minilm=model("minilm", {"input_ids": "int64[batch, 9]"}, {"embedding": "int64[batch]"}),
            inputs="{input_ids: ids}",
        ),
        "tokenizer.ids is int64[batch, 8], minilm.input_ids takes int64[batch, 9]: 8 cannot be 9",
        "let both have one shape",
    ),
    "size of one axis": (
        *edge(tokens={"ids": "int64[batch, 8]", "mask": "int64[batch, 9]"}),
        "tokenizer.ids is int64[batch, 8], tokenizer.mask is int64[batch, 9]: they are one axis of "
        "minilm, which cannot be 8 and 9",
        "let both have one shape",
    ),
    "unknown input": (
        *edge(inputs="{input_id: ids, input_ids: ids, attention_mask: mask}"),
        "5: source.pipeline[0].in.input_id: minilm has no input 'input_id'",
        "did you mean 'input_ids'?",
    ),
    "missing input": (
        *edge(inputs="{input_ids: ids}"),
        "5: source.pipeline[0].in: minilm.attention_mask takes int64[batch, seq], but is given "
        "nothing",
        "add attention_mask: <the value that goes in>",
    ),
    "unknown output": (
        one_model("{x: x}", "{z: y}", "{y: y}"),
        (M,),
        "source.pipeline[0].out.z: m has no output 'z'",
        "it has y: float32[batch]",
    ),
    "state": (
        one_model("{x: x}", "{y: y}", "{y: y}"),
        (model("m", {"x": "float32[1]"}, {"y": "float32[1]"}, stateful=True),),
        "source.pipeline[0].model: m keeps a state for each sequence",
        'client.sequence("m")',
    ),
    "one value as two outputs": (
        one_model("{x: x}", "{y: y}", "{first: y, second: y}"),
        (M,),
        "outputs.second: 'y' is the output 'first' already",
        "remove one of the two",
    ),
    "an output named as an input": (
        one_model("{x: x}", "{y: y}", "{x: y}"),
        (M,),
        "outputs.x: is the name of an input too",
        "give the output another name",
    ),
    "a range beyond the model's": (
        one_model("{x: x}", "{y: y}", "{y: y}", "dims: {n: 1..4..8}"),
        (M,),
        "dims.n: 1..4..8, but m.n is 2..4..8",
        "write 2..4..8, or a part of it",
    ),
    "a batch beyond the model's": (
        one_model("{x: x}", "{y: y}", "{y: y}", "dims: {batch: 1..4..64}"),
        (M,),
        "dims.batch: 1..4..64, but m.batch is 1..8..8",
        "write 1..8..8, or a part of it",
    ),
    "a dead end": (
        "source: {pipeline: [{model: m, in: {x: x}, out: {y: y}}, "
        "{model: m, in: {x: z}, out: {y: other}}]}\noutputs: {y: y}\n",
        (M,),
        "source.pipeline[1]: nothing that m makes here goes into an output of the pipeline",
        "remove the step",
    ),
    "two streams": (
        "source: {pipeline: [{model: stream, in: {x: a}, out: {y: b}}, "
        "{model: pair, in: {a: a, b: b}, out: {y: c}}]}\noutputs: {c: c}\n",
        (STREAM, PAIR),
        "source.pipeline[1].in: pair takes 'a', which comes once and 'b', which stream streams",
        "let it be values of one stream alone",
    ),
    "a stream that is cached": (
        "source: {pipeline: [{model: stream, in: {x: a}, out: {y: b}}]}\noutputs: {b: b}\n"
        "response_cache: true\n",
        (STREAM,),
        "response_cache: does not go with a pipeline that streams",
        "remove it",
    ),
    "a stream beside what comes once": (
        "source: {pipeline: [{model: stream, in: {x: a}, out: {y: b}}, "
        "{model: plain, in: {x: a}, out: {y: c}}]}\noutputs: {b: b, c: c}\n",
        (STREAM, PLAIN),
        "outputs: the pipeline gives 'b', which stream streams and 'c', which comes once",
        "let it be values of one stream alone",
    ),
}


@pytest.mark.parametrize(("text", "models", "found", "remedy"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told_with_both_ends(compiled, text, models, found, remedy):
    with pytest.raises(SpecError) as caught:
        compiled(text, *models)
    (problem,) = caught.value.problems
    assert found in str(caught.value)
    assert remedy in problem.remedy
    assert problem.line


def test_two_models_that_take_no_common_size(compiled):
    short = model("short", {"x": "float32[batch, n]"}, {"y": "float32[batch]"}, dims={"n": "1..4"})
    long = model("long", {"x": "float32[batch, m]"}, {"y": "float32[batch]"}, dims={"m": "8..16"})
    text = """
source:
  pipeline: [{model: short, in: {x: x}, out: {y: a}}, {model: long, in: {x: x}, out: {y: b}}]
outputs: {a: a, b: b}
"""
    with pytest.raises(SpecError, match=r"short\.n is 1\.\.2\.\.4 and long\.m is 8\.\.11\.\.16"):
        compiled(text, short, long)


def test_every_mistake_is_told_at_once(compiled):
    text, models = edge(inputs="{input_id: ids}", tokens={"ids": "float32[batch]"})
    with pytest.raises(SpecError) as caught:
        compiled(text, *models)
    assert len(caught.value.problems) == 3
