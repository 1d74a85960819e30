"""Pipelines: what is written, and every problem that must be told."""

from __future__ import annotations

from bad_specs import BadSpec, Row

PIPELINE = """\
name: m
source:
  pipeline:
    - {model: a, in: {x: text}, out: {y: ids}}
    - {model: b, in: {x: ids}, out: {y: vector}}
outputs: {vector: vector}
"""

PIPELINE_SPECS = (
    BadSpec(
        "a pipeline without outputs",
        PIPELINE.replace("outputs: {vector: vector}\n", ""),
        (
            Row(
                3,
                "outputs",
                "is missing; a pipeline does not tell which of its values it gives",
                "write output name: value, e.g. outputs: {vector: vector}",
            ),
        ),
    ),
    BadSpec(
        "an output misspelt",
        PIPELINE.replace(": vector}\n", ": vektor}\n"),
        (Row(6, "outputs.vector", "no step makes a value 'vektor'", "did you mean 'vector'?"),),
    ),
    BadSpec(
        "an output that is an input",
        PIPELINE.replace("vector: vector", "vector: text"),
        (
            Row(
                6,
                "outputs.vector",
                "'text' is an input of the pipeline, made by no step",
                "write one of ids, vector",
            ),
        ),
    ),
    BadSpec(
        "an output declared as a tensor",
        PIPELINE.replace("vector: vector", "vector: 'float32[batch, 4]'"),
        (
            Row(
                6,
                "outputs.vector",
                "no step makes a value 'float32[batch, 4]'",
                "write one of ids, vector",
            ),
        ),
    ),
    BadSpec(
        "an output that is a number",
        PIPELINE.replace("vector: vector", "vector: 3"),
        (Row(6, "outputs.vector", "3 is a number, not a value's name", 'quote it: "3"'),),
    ),
    BadSpec(
        "outputs that are a list",
        PIPELINE.replace("{vector: vector}", "[vector]"),
        (
            Row(
                6,
                "outputs",
                "is a list, not a mapping",
                "write output name: value, e.g. outputs: {vector: vector}",
            ),
        ),
    ),
    BadSpec(
        "outputs that are empty",
        PIPELINE.replace("{vector: vector}", "{}"),
        (
            Row(
                6, "outputs", "is empty", "write output name: value, e.g. outputs: {vector: vector}"
            ),
        ),
    ),
    BadSpec(
        "outputs in two places",
        PIPELINE.replace("source:\n", "source:\n  outputs: {v: vector}\n"),
        (Row(3, "source.outputs", "stands twice, as outputs too", "keep one of the two"),),
    ),
    BadSpec(
        "a value made twice",
        PIPELINE.replace("y: vector", "y: ids"),
        (
            Row(
                5,
                "source.pipeline[1].out.y",
                "the value 'ids' is made twice, first by a.y",
                "give one of the two another name",
            ),
        ),
    ),
    BadSpec(
        "a value made twice in one step",
        PIPELINE.replace("{y: ids}", "{y: ids, z: ids}"),
        (
            Row(
                4,
                "source.pipeline[0].out.z",
                "the value 'ids' is made twice, first by a.y",
                "give one of the two another name",
            ),
        ),
    ),
    BadSpec(
        "two steps that wait for each other",
        PIPELINE.replace("x: text", "x: vector"),
        (
            Row(
                4,
                "source.pipeline[0]",
                "the steps wait for each other: a -> b -> a",
                ("let one of them take an input of the pipeline, or what a step before it makes"),
            ),
        ),
    ),
    BadSpec(
        "a step that waits for itself",
        PIPELINE.replace("x: text", "x: text, w: ids"),
        (
            Row(
                4,
                "source.pipeline[0]",
                "a takes 'ids', which it makes itself",
                ("let one of them take an input of the pipeline, or what a step before it makes"),
            ),
        ),
    ),
    BadSpec(
        "a pipeline that calls itself",
        PIPELINE.replace("model: b", "model: m"),
        (Row(5, "source.pipeline[1].model", "the pipeline calls itself", "name another model"),),
    ),
    BadSpec(
        "a step's key misspelt",
        PIPELINE.replace("model: a", "modle: a"),
        (
            Row(4, "source.pipeline[0].modle", "unknown key", "did you mean 'model'?"),
            Row(
                4, "source.pipeline[0].model", "is missing", "add `model:` with the name of a model"
            ),
        ),
    ),
    BadSpec(
        "a step with a version",
        PIPELINE.replace("model: a", "model: a, version: 1"),
        (Row(4, "source.pipeline[0].version", "unknown key", "a step has model, in, out"),),
    ),
    BadSpec(
        "a step without in and out",
        PIPELINE.replace(", in: {x: text}, out: {y: ids}", ""),
        (
            Row(4, "source.pipeline[0].in", "is missing", "add in: {model's input: value}"),
            Row(4, "source.pipeline[0].out", "is missing", "add out: {model's output: value}"),
        ),
    ),
    BadSpec(
        "steps with impossible models",
        PIPELINE.replace("model: a", "model: 'a b'").replace("model: b", "model: 3"),
        (
            Row(
                4,
                "source.pipeline[0].model",
                "'a b' is no model name",
                "use letters, digits, _ . - and start with a letter or digit",
            ),
            Row(
                5,
                "source.pipeline[1].model",
                "is a number, not a model's name",
                'quote it: model: "3"',
            ),
        ),
    ),
    BadSpec(
        "values that are no names",
        PIPELINE.replace("{x: text}", "{x: 3, y: [], z: ''}").replace("{x: ids}", "{}"),
        (
            Row(4, "source.pipeline[0].in.x", "3 is a number, not a value's name", 'quote it: "3"'),
            Row(
                4,
                "source.pipeline[0].in.y",
                "is a list, not a value's name",
                "write the name of a value, e.g. ids",
            ),
            Row(4, "source.pipeline[0].in.z", "is empty", "write the name of a value, e.g. ids"),
            Row(5, "source.pipeline[1].in", "is empty", "write in: {model's input: value}"),
        ),
    ),
    BadSpec(
        "in that is a list",
        PIPELINE.replace("{x: text}", "[text]"),
        (
            Row(
                4,
                "source.pipeline[0].in",
                "is a list, not a mapping",
                "write in: {model's input: value}",
            ),
        ),
    ),
    BadSpec(
        "an empty pipeline",
        "name: m\nsource: {pipeline: []}\noutputs: {a: b}\n",
        (
            Row(
                2,
                "source.pipeline",
                "has no steps",
                (
                    "write steps, e.g. pipeline: [{model: tokenizer, in: {text: text}, "
                    "out: {input_ids: ids}}]"
                ),
            ),
        ),
    ),
    BadSpec(
        "a pipeline that is no list",
        "name: m\nsource: {pipeline: a}\noutputs: {a: b}\n",
        (
            Row(
                2,
                "source.pipeline",
                "is a string, not a list of steps",
                (
                    "write steps, e.g. pipeline: [{model: tokenizer, in: {text: text}, "
                    "out: {input_ids: ids}}]"
                ),
            ),
        ),
    ),
    BadSpec(
        "steps that are no mappings",
        "name: m\nsource: {pipeline: [a, [b]]}\noutputs: {a: b}\n",
        (
            Row(
                2,
                "source.pipeline[0]",
                "is a string, not a step",
                "write {model: tokenizer, in: {text: text}, out: {input_ids: ids}}",
            ),
            Row(
                2,
                "source.pipeline[1]",
                "is a list, not a step",
                "write {model: tokenizer, in: {text: text}, out: {input_ids: ids}}",
            ),
        ),
    ),
    BadSpec(
        "a pipeline with a revision",
        PIPELINE.replace("source:\n", "source:\n  revision: x\n"),
        (
            Row(
                3,
                "source.revision",
                "does not go with pipeline",
                "remove it; it is for huggingface",
            ),
        ),
    ),
    BadSpec(
        "an input that no step takes",
        PIPELINE + "inputs: {txt: 'string[batch]'}\n",
        (
            Row(
                7,
                "inputs.txt",
                "no step takes 'txt' from outside the pipeline",
                "did you mean 'text'?",
            ),
            Row(
                7,
                "inputs.text",
                "is missing; a step takes 'text', which no step makes",
                "add it, or correct the value's name there",
            ),
        ),
    ),
    BadSpec(
        "a bar for an output that is not there",
        PIPELINE + "quality: {vektor: {cosine: 0.9}}\n",
        (Row(7, "quality.vektor", "there is no output 'vektor'", "did you mean 'vector'?"),),
    ),
    BadSpec(
        "keys that do not go with a pipeline",
        PIPELINE + "batching: false\ninstances: 2\nprecision: fp32\nrequirements: [x]\n"
        "max_execution_seconds: 9\n",
        (
            Row(
                7,
                "batching",
                "does not go with source: {pipeline: ...}",
                "remove it; the models of the pipeline have their own",
            ),
            Row(
                8,
                "instances",
                "does not go with source: {pipeline: ...}",
                "remove it; the models of the pipeline have their own",
            ),
            Row(
                9,
                "precision",
                "does not go with source: {pipeline: ...}",
                "remove it; the models of the pipeline have their own",
            ),
            Row(
                10,
                "requirements",
                "does not go with source: {pipeline: ...}",
                "remove it; the models of the pipeline have their own",
            ),
            Row(
                11,
                "max_execution_seconds",
                "does not go with source: {pipeline: ...}",
                "remove it; the models of the pipeline have their own",
            ),
        ),
    ),
    BadSpec(
        "pipeline and python together",
        PIPELINE.replace("source:\n", "source:\n  python: 'model.py:Summary'\n"),
        (Row(2, "source", "has 2 kinds: python, pipeline", "keep one of them"),),
    ),
)
