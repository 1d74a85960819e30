"""A commented model.yaml to start from."""

from __future__ import annotations

import difflib

from nosbuild.errors import InputError
from nosbuild.spec.applicability import TAKEN_BY

# Every template loads as it stands: what it refers to is in a package, or written beside it.
_SOURCES = {
    "torch": """\
# Where the model comes from: a callable that returns a torch.nn.Module, in a file beside this
# one ("model.py:create") or in an installed module. `init` holds its keyword arguments.
source:
  torch: "torch.nn:Linear"
  init: {in_features: 16, out_features: 4}

# Every tensor of forward(), in its order: dtype[dims]. A dim is a fixed size, or the name of an
# axis that varies. `batch` comes first and lets Triton join requests.
inputs:
  x: float32[batch, 16]
outputs:
  y: float32[batch, 4]
""",
    "huggingface": """\
# Where the model comes from: a folder, "package:subfolder" of an installed package, or a hub id.
source:
  huggingface: "sentence-transformers/all-MiniLM-L6-v2"
  # revision: main

# The model tells its tensors; declare them to choose names and axes yourself.
# inputs:
#   input_ids: {tensor: "int64[batch, seq]", range: [0, 30521]}
#   attention_mask: {tensor: "int64[batch, seq]", range: [1, 1]}
# outputs:
#   sentence_embedding: float32[batch, 384]
""",
    "onnx": """\
# Where the model comes from: a file in this folder ("model.onnx"), or "package:path/inside" an
# installed package.
source:
  onnx: "onnxruntime:datasets/sigmoid.onnx"

# The file tells its tensors; declare them to name its axes yourself.
# inputs:
#   x: float32[batch, 3, 224, 224]
# outputs:
#   y: float32[batch, 1000]
""",
    "sklearn": """\
# Where the model comes from: a callable that returns a fitted estimator, in a file beside this
# one ("model.py:train") or in an installed module. `init` holds its keyword arguments.
source:
  sklearn: "your_package.your_module:train"
  # init: {random_state: 0}

# The estimator tells its tensors; declare them to choose their names yourself.
# inputs:
#   features: float32[batch, 30]
# outputs:
#   label: int64[batch]
#   probabilities: float32[batch, 2]
""",
    "python": """\
# Where the model comes from: a class in a file beside this one, or in a module of its environment.
# `init` holds the keyword arguments of its __init__.
source:
  python: "model.py:Summary"
  # init: {sentences: 2}

# What to serve. The first method is the model of that name, the others <name>.<method>; a method
# that yields becomes a streaming model.
# methods: [__call__, stream]

# pip requirements of its own environment, as a list or "requirements.txt"; none for the server's
# own Python. `python` is the version wanted, in quotes.
# requirements: ["some-package>=1.0"]
# python: "3.11"

# Other models that the class calls: self.models.<name>(...), where __init__ takes `models`.
# models: []

# Annotations tell the tensors; declare those that they do not tell, as the method takes them.
# inputs:
#   image: uint8[height, width, 3]

# What to fill up with, so that inputs and outputs of unequal shape go into one batch.
# pad: {image: 0}
""",
    "pipeline": """\
# Models of the same repository that pass values on: `in` and `out` name the model's tensors and the
# values that go in and come out. A value that no step makes is an input of the pipeline.
source:
  pipeline:
    - {model: your_tokenizer, in: {text: text}, out: {input_ids: ids}}
    - {model: your_encoder, in: {input_ids: ids}, out: {embedding: vector}}

# Which values the pipeline gives, and under which names.
outputs: {embedding: vector}
""",
}

_DIMS = {
    "huggingface": """\
# Sizes of the named axes: min..typical..max.
dims:
  batch: 1..8..32
  seq: 1..32..256
""",
    "onnx": """\
# Sizes of the named axes: min..typical..max, with `step 32` where only multiples are legal.
# dims:
#   batch: 1..8..32
""",
}
_BATCH_ONLY = """\
# Sizes of the named axes: min..typical..max, with `step 32` where only multiples are legal.
dims:
  batch: 1..8..32
"""

_SAMPLES = """\
# Real inputs to prove the model on: a callable in a file beside this one that gives dicts,
# input name -> array of one item without the batch axis. Seeded random inputs without it.
# samples: "samples.py:samples"
"""
_QUALITY = """\
# How near the served model must come to the original: cosine, top1_agreement, agreement, atol,
# rtol, relative, p999_abs, or "file.py:metric"; for all outputs, or by output name.
quality: {relative: 1e-3}
"""
_VARIANTS = """\
# Candidates to build and prove: fp32, fp16, bf16, int8; or auto.
precision: [fp32]

# What to choose by: throughput, latency, or {throughput: {p99_ms: 20}}.
objective: throughput
"""
_SERVING = """\
# Dynamic batching; `false` switches it off. A lone client pays the delay in full.
# batching:
#   max_delay_us: 500
#   preferred: [4, 8]

# Copies of the model: auto, a number, or {count: 2, kind: cpu, threads: 1}.
instances: auto

# Seconds that one execution may take: a worker in which one takes longer says where, and ends.
# max_execution_seconds: 60
"""
_STATE = """\
# What a model keeps from one request of a sequence to the next: state input -> state output.
# state: {state: next_state}
# sequence: {idle_timeout_us: 1000000}
"""
_VERSIONS = """\
# Which versions Triton serves: latest, all, {latest: 2}, or {specific: [1, 3]}.
# version_policy: latest

# Lets Triton answer repeated requests from its cache.
# response_cache: true
"""
_BUILD = """\
# pip requirements whose packages hold the model or its samples.
# build_requirements: ["some-package==1.0"]
"""


def template(name: str, source_kind: str, python_class: str = "Summary") -> str:
    """A commented model.yaml for the model's folder; loads without error once written there.

    Args:
        name: of the model and its folder.
        source_kind: torch, huggingface, onnx, sklearn, python or pipeline.
        python_class: the class in model.py that a python model is.

    Raises:
        InputError: another kind.
    """
    if source_kind not in _SOURCES:
        near = difflib.get_close_matches(source_kind, _SOURCES, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(_SOURCES)}"
        raise InputError(f"unknown kind of source {source_kind!r}", remedy)
    head = f'# The folder has the same name.\nname: "{name}"\ndescription: ""\n'
    source = _SOURCES[source_kind].replace("model.py:Summary", f"model.py:{python_class}")
    parts = [head, source, _DIMS.get(source_kind, _BATCH_ONLY)]
    parts += [_STATE] if source_kind in TAKEN_BY["state"] else []
    parts += [_SAMPLES, _QUALITY]
    parts += [_VARIANTS] if source_kind in TAKEN_BY["precision"] else []
    parts += [_SERVING] if source_kind in TAKEN_BY["instances"] else []
    return "\n".join((*parts, _VERSIONS, _BUILD))
