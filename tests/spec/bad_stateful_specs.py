"""Models that keep a state: what is written, and every problem that must be told."""

from __future__ import annotations

from bad_specs import BadSpec, Row

STATEFUL = """\
name: m
source: {torch: "model.py:create"}
inputs: {x: "float32[batch, 4]", h: "float32[batch, 8]"}
outputs: {y: "float32[batch]", hN: "float32[batch, 8]"}
"""

STATEFUL_SPECS = (
    BadSpec(
        "a state's input misspelt",
        STATEFUL + "state: {hh: hN}\n",
        (Row(5, "state.hh", "there is no input 'hh'", "did you mean 'h'?"),),
    ),
    BadSpec(
        "a state's output misspelt",
        STATEFUL + "state: {h: hn}\n",
        (Row(5, "state.h", "there is no output 'hn'", "did you mean 'hN'?"),),
    ),
    BadSpec(
        "a state that comes back otherwise",
        STATEFUL.replace('hN: "float32', 'hN: "float16') + "state: {h: hN}\n",
        (
            Row(
                5,
                "state.h",
                "inputs.h is float32[batch, 8], but outputs.hN is float16[batch, 8]",
                ("declare both alike, but for the names of axes: a state goes in as it came out"),
            ),
        ),
    ),
    BadSpec(
        "two states from one output",
        STATEFUL.replace("inputs: {", 'inputs: {g: "float32[batch, 8]", ')
        + "state: {h: hN, g: hN}\n",
        (
            Row(
                5,
                "state.g",
                "'hN' comes back as 'h' already",
                "write an output of its own for each state",
            ),
        ),
    ),
    BadSpec(
        "nothing but states",
        STATEFUL.replace('x: "float32[batch, 4]", ', "").replace('y: "float32[batch]", ', "")
        + "state: {h: hN}\n",
        (
            Row(
                5,
                "state",
                "every input is a state; a request would bring nothing",
                "leave out the inputs that each request brings",
            ),
            Row(
                5,
                "state",
                "every output is a state; a request would get nothing",
                "leave out the outputs that each request is answered with",
            ),
        ),
    ),
    BadSpec(
        "a state that is no mapping",
        STATEFUL + "state: [h]\n",
        (Row(5, "state", "a list is no mapping", "write `key: value` entries"),),
    ),
    BadSpec(
        "a state's output that is a number",
        STATEFUL + "state: {h: 1}\n",
        (Row(5, "state.h", "1 is read as a number, not a string", 'quote it: h: "1"'),),
    ),
    BadSpec(
        "a state in one item of a batch",
        STATEFUL.replace('hN: "float32[batch, 8]', 'hN: "float32[8]') + "state: {h: hN}\n",
        (
            Row(
                4,
                "outputs.hN",
                "float32[8] has no batch axis, but inputs.x has one",
                "declare every input and output with batch first, or none of them",
            ),
            Row(
                5,
                "state.h",
                "inputs.h is float32[batch, 8], but outputs.hN is float32[8]",
                ("declare both alike, but for the names of axes: a state goes in as it came out"),
            ),
        ),
    ),
    BadSpec(
        "a sequence without a state",
        STATEFUL + "sequence: {idle_timeout_us: 1000}\n",
        (
            Row(
                5,
                "sequence",
                "there is no state to keep from request to request",
                "add state: {<input>: <output>}, or remove it",
            ),
        ),
    ),
    BadSpec(
        "numbers of a sequence out of range",
        STATEFUL + "state: {h: hN}\nsequence: {max_sequences: 0, idle_timeout_us: 1.5}\n",
        (
            Row(6, "sequence.max_sequences", "0 is out of range", "write a number of at least 1"),
            Row(6, "sequence.idle_timeout_us", "1.5 is no whole number", "write a whole number"),
        ),
    ),
    BadSpec(
        "a sequence's keys misspelt",
        STATEFUL + "state: {h: hN}\nsequence: {strategy: older, max_sequence: 3}\n",
        (
            Row(6, "sequence.strategy", "'older' is unknown", "did you mean 'oldest'?"),
            Row(6, "sequence.max_sequence", "unknown key", "did you mean 'max_sequences'?"),
        ),
    ),
    BadSpec(
        "places in a direct sequence",
        STATEFUL + "state: {h: hN}\nsequence: {strategy: direct, max_sequences: 3}\n",
        (
            Row(
                6,
                "sequence.max_sequences",
                ("does not go with strategy: direct, which has a place for each item of a batch"),
                "remove it; dims.batch sets the places",
            ),
        ),
    ),
    BadSpec(
        "a sequence that is no mapping",
        STATEFUL + "state: {h: hN}\nsequence: true\n",
        (Row(6, "sequence", "true is no mapping", "write `key: value` entries"),),
    ),
    BadSpec(
        "joining and caching of what depends on a state",
        STATEFUL + "state: {h: hN}\nbatching: {max_delay_us: 3}\nresponse_cache: true\n",
        (
            Row(
                6,
                "batching",
                "does not go with state: the sequence batcher joins requests itself",
                "remove it",
            ),
            Row(
                7,
                "response_cache",
                "does not go with state: an answer depends on the requests before it",
                "remove one of the two",
            ),
        ),
    ),
    BadSpec(
        "a sequence through raw",
        STATEFUL + "raw: {sequenceBatching: {}, ensemble_scheduling: {}}\n",
        (
            Row(
                5,
                "raw.sequenceBatching",
                "nosbuild derives this field",
                "set it with `state` and `sequence`",
            ),
            Row(
                5,
                "raw.ensemble_scheduling",
                "nosbuild derives this field",
                "set it with source: {pipeline: [...]}",
            ),
        ),
    ),
    BadSpec(
        "a state of what has none",
        "name: m\nsource: {huggingface: org/m}\nstate: {h: hN}\nsequence: {}\n",
        (
            Row(
                3,
                "state",
                "does not go with source: {huggingface: ...}",
                "remove it; it is for torch and onnx",
            ),
            Row(
                4,
                "sequence",
                "does not go with source: {huggingface: ...}",
                "remove it; it is for torch, onnx and python",
            ),
        ),
    ),
    BadSpec(
        "keys of a class for a module",
        STATEFUL
        + "requirements: [six]\nsystem_site: true\nmethods: [a]\nmodels: [b]\npad: {x: 0}\n",
        (
            Row(
                5,
                "requirements",
                "does not go with source: {torch: ...}",
                "remove it; what a build needs goes into build_requirements",
            ),
            Row(
                6,
                "system_site",
                "does not go with source: {torch: ...}",
                "remove it; it is for python",
            ),
            Row(
                7, "methods", "does not go with source: {torch: ...}", "remove it; it is for python"
            ),
            Row(
                8, "models", "does not go with source: {torch: ...}", "remove it; it is for python"
            ),
            Row(9, "pad", "does not go with source: {torch: ...}", "remove it; it is for python"),
        ),
    ),
)
