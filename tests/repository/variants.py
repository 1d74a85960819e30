"""Proven variants of tiny models, made without exporting anything: what publish takes."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from nosbuild.plan import RunsOn, host_facts
from nosbuild.repository.lock import spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.spec import load_spec
from nosbuild.store.hashing import sha256_of_files
from nosbuild.verify.golden import write_golden
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Finding, Proof
from nosbuild.verify.variant import verified

BATCHED = """
source: {onnx: model.onnx}
inputs: {x: "float32[batch, 4]"}
outputs: {y: "float32[batch, 4]"}
dims: {batch: 1..4..16}
"""


def write_spec(repository, text=BATCHED, name="m"):
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").touch()
    (folder / "model.yaml").write_text(f"name: {name}\n{text}")
    return load_spec(folder)


def make_variant(scratch, spec, mark="first", holds=True, more_files=()):
    """Every output is its input; ``mark`` makes other bytes of the same model."""
    inputs, outputs = spec.input_tensors, spec.output_tensors
    nodes = [
        helper.make_node("Identity", [i.name], [o.name])
        for i, o in zip(inputs, outputs, strict=True)
    ]
    graph = helper.make_graph(nodes, "m", _values(inputs), _values(outputs))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string=mark
    )
    artifact, golden = scratch / mark / "artifact", scratch / mark / "golden"
    artifact.mkdir(parents=True, exist_ok=True)
    onnx.save(model, artifact / "model.onnx")
    for name in more_files:
        (artifact / name).write_text(mark)
    items = [{tensor.name: _array(tensor) for tensor in inputs}]
    answers = [
        {o.name: items[0][i.name] for i, o in zip(inputs, outputs, strict=True)} for _ in items
    ]
    write_golden(golden, items, answers)
    finding = Finding(output="y", bar="atol <= 0", value=0, holds=holds, batch=1, sample=0)
    proof = Proof(
        variant="onnx-fp32",
        artifact=sha256_of_files(artifact.glob("model.*"), artifact),
        findings=(finding,),
        reasons=(),
        samples=1,
        real_samples=False,
        batches=(1,),
    )
    return verified(
        runs_on=RunsOn(),
        artifact=artifact,
        details={},
        golden=golden,
        inputs=inputs,
        outputs=outputs,
        proof=proof,
        measurement=Measurement(latencies=(), throughputs=(), instances=2, threads=3, why=""),
    )


def publish_mark(repository, scratch, mark, text=BATCHED, name="m"):
    """Publish the model whose bytes are marked so."""
    spec = write_spec(repository, text, name)
    return publish_variant(make_variant(scratch / name, spec, mark), spec, repository)


def publish_variant(variant, spec, repository):
    origins = Origins(spec_digest(spec), {}, {}, host_facts(), "0")
    return publish(variant, spec, repository, origins, report="{}")


def tree(folder):
    """Path -> bytes and time of change, of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _values(tensors):
    types = TensorProto.DataType
    return [
        helper.make_tensor_value_info(t.name, types.Value(t.dtype.onnx), t.shape) for t in tensors
    ]


def _array(tensor):
    shape = [size if isinstance(size, int) else 2 for size in tensor.item_shape]
    if tensor.dtype.name == "string":
        return np.full(shape, "größe", dtype=object)
    return np.ones(shape, tensor.dtype.numpy)
