"""ONNX models published in a moment: their proof is taken as done, as `tests/repository` does."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from nosbuild.plan import RunsOn, host_facts
from nosbuild.repository.lock import spec_content, spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.source.random_inputs import random_inputs
from nosbuild.spec import load_spec
from nosbuild.store.hashing import sha256_of_files
from nosbuild.tensors import TensorSpec
from nosbuild.verify.golden import write_golden
from nosbuild.verify.measure import Measurement
from nosbuild.verify.proof import Finding, Proof
from nosbuild.verify.variant import verified


def graph(operator, inputs, outputs, constants=(), **attributes):
    """One node; inputs and outputs are name -> ``dtype[dims]``; constants are further inputs."""
    node = helper.make_node(
        operator,
        [*inputs, *(f"c{index}" for index in range(len(constants)))],
        list(outputs),
        **attributes,
    )
    made = helper.make_graph(
        [node],
        "g",
        [_value(*row) for row in inputs.items()],
        [_value(*row) for row in outputs.items()],
        [
            onnx.numpy_helper.from_array(np.asarray(value), f"c{index}")
            for index, value in enumerate(constants)
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _value(name, declaration):
    dtype, _, dims = declaration.rstrip("]").partition("[")
    shape = [int(dim) if dim.strip().isdigit() else dim.strip() for dim in dims.split(",") if dim]
    number = getattr(TensorProto, {"float32": "FLOAT", "int64": "INT64"}[dtype])
    return helper.make_tensor_value_info(name, number, shape)


def publish_member(
    repository,
    scratch,
    name,
    inputs,
    outputs,
    model,
    *,
    dims="",
    source=None,
    declared=True,
    answers_of=None,
):
    """Publish ``model`` as ``repository/name``; its source is the same, unless told otherwise.

    ``answers_of``: a model whose answers the golden samples hold, in place of its own.
    ``declared``: whether its model.yaml declares the tensors, or leaves them to the file.
    """
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(source or model, folder / "model.onnx")
    tensors = f"inputs: {_yaml(inputs)}\noutputs: {_yaml(outputs)}\n" if declared else ""
    text = f"name: {name}\nsource: {{onnx: model.onnx}}\n{tensors}{dims}\n"
    (folder / "model.yaml").write_text(text)
    written = load_spec(folder)
    spec = written.with_tensors(
        *([TensorSpec.parse(*row) for row in side.items()] for side in (inputs, outputs))
    )
    artifact, golden = scratch / name / "artifact", scratch / name / "golden"
    artifact.mkdir(parents=True, exist_ok=True)
    onnx.save(model, artifact / "model.onnx")
    session = onnxruntime.InferenceSession((answers_of or model).SerializeToString())
    sizes = {axis: 2 for tensor in spec.input_tensors for axis in tensor.axes.values()}
    drawn = random_inputs(spec.input_tensors, {**sizes, "batch": 1})
    answers = dict(zip(spec.outputs, session.run(list(spec.outputs), drawn), strict=True))
    if spec.is_batched:
        drawn, answers = ({k: a[0] for k, a in one.items()} for one in (drawn, answers))
    write_golden(golden, [drawn], [answers])
    variant = verified(
        runs_on=RunsOn(),
        artifact=artifact,
        details={},
        golden=golden,
        inputs=spec.input_tensors,
        outputs=spec.output_tensors,
        proof=Proof(
            variant="onnx-fp32",
            artifact=sha256_of_files(artifact.glob("model.*"), artifact),
            findings=(
                Finding(output="y", bar="atol <= 0", value=0, holds=True, batch=1, sample=0),
            ),
            reasons=(),
            samples=1,
            real_samples=False,
            batches=(1,),
        ),
        measurement=Measurement(latencies=(), throughputs=(), instances=1, threads=1, why=""),
    )
    origins = Origins(spec_digest(written), {}, {}, host_facts(), "0", spec_content(written))
    return publish(variant, spec, repository, origins, report="{}")


def _yaml(tensors):
    return "{" + ", ".join(f"{name}: '{text}'" for name, text in tensors.items()) + "}"
