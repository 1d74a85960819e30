"""Published models, written as a build leaves them, with locks that can be forged."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from nosbuild.repository.lock import Lock, spec_content, spec_digest, write_lock
from nosbuild.spec import load_spec
from nosbuild.store.hashing import sha256_of_files
from nosbuild.verify.golden import write_golden

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
_NAMES = {FLOAT: ("float32", "FP32"), INT64: ("int64", "INT64"), STRING: ("string", "STRING")}
JOINED = "dynamic_batching { }"
CACHED = f"{JOINED}\nresponse_cache {{ enable: true }}"


def write_onnx(file, nodes, inputs, outputs, constants=()):
    """Inputs and outputs are ``name: (type, shape)``."""
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info(name, *row) for name, row in inputs.items()],
        [helper.make_tensor_value_info(name, *row) for name, row in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)


def publish(
    folder, nodes, inputs, outputs, samples, *, constants=(), spec="", config=JOINED, version=1
):
    """Writes the whole folder; ``samples`` are (item, answer) without the batch axis."""
    write_onnx(folder / f"{version}/model.onnx", nodes, inputs, outputs, constants)
    batched = all(shape[:1] == ["batch"] for _, shape in [*inputs.values(), *outputs.values()])
    (folder / "any.onnx").touch()
    (folder / "model.yaml").write_text(
        f"name: {folder.name}\nsource: {{onnx: any.onnx}}\n"
        f"inputs: {_declared(inputs)}\noutputs: {_declared(outputs)}\n{spec}"
    )
    entries = [
        _entry(kind, name, *row, batched)
        for kind, rows in (("input", inputs), ("output", outputs))
        for name, row in rows.items()
    ]
    (folder / "config.pbtxt").write_text(
        f'name: "{folder.name}"\nbackend: "onnxruntime"\nmax_batch_size: {16 * batched}\n'
        + "\n".join([*entries, config * batched, "instance_group { count: 1 kind: KIND_CPU }"])
    )
    write_golden(folder / f"{version}/golden", *zip(*samples, strict=True))
    lock(folder, version)


def lock(folder, version=1, proven_samples=None, **more):
    """Writes the lock of what lies there now: a forged one, where it was changed since."""
    spec = load_spec(folder)
    there = folder / str(version)
    golden = list((there / "golden").iterdir())
    write_lock(
        Lock(
            model=folder.name,
            version=version,
            variant="onnx-fp32",
            identity="",
            spec_digest=spec_digest(spec),
            artifact=sha256_of_files(there.glob("model.*"), there),
            interface="",
            config_sha256="",
            steps={},
            read={},
            libraries={},
            host={},
            proof={"samples": proven_samples or len(golden)},
            spec=spec_content(spec),
            nosbuild="0",
            **more,
        ),
        there / "nos.lock",
    )


def _declared(tensors):
    rows = [
        f"{name}: '{_NAMES[kind][0]}[{', '.join(map(str, shape))}]'"
        for name, (kind, shape) in tensors.items()
    ]
    return f"{{{', '.join(rows)}}}"


def _entry(section, name, kind, shape, batched):
    dims = [size if isinstance(size, int) else -1 for size in shape[batched:]]
    reshape = " reshape { shape: [ ] }" if batched and not dims else ""
    return (
        f'{section} {{ name: "{name}" data_type: TYPE_{_NAMES[kind][1]} '
        f"dims: {dims or [1]}{reshape} }}"
    )


SCORES = np.arange(12, dtype=np.float32).reshape(4, 3) % 5


def classifier(repository, name="classifier", weights=SCORES, count=6, spec="", **more):
    """Scores = x @ SCORES and the label: two outputs, one of them one number an item."""
    items = [{"x": row} for row in np.random.default_rng(0).random((count, 4), np.float32)]
    answers = [{"scores": i["x"] @ SCORES, "label": (i["x"] @ SCORES).argmax()} for i in items]
    publish(
        repository / name,
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        ],
        {"x": (FLOAT, ["batch", 4])},
        {"scores": (FLOAT, ["batch", 3]), "label": (INT64, ["batch"])},
        list(zip(items, answers, strict=True)),
        constants=[("w", weights)],
        spec=f"dims: {{batch: 1..4..16}}\n{spec}",
        **more,
    )


def words(repository, name="words"):
    """Text of several lengths, that comes back as it is."""
    items = [np.array(text.split(), object) for text in ("größe a", "b c", "one", "x y z")]
    publish(
        repository / name,
        [helper.make_node("Identity", ["text"], ["same"])],
        {"text": (STRING, ["batch", "words"])},
        {"same": (STRING, ["batch", "words"])},
        [({"text": item}, {"same": item}) for item in items],
        spec="dims: {words: 1..2..4}\n",
    )


def total(repository, name="total"):
    """The sum of a matrix: no batch axis, and an answer without any axis."""
    items = [np.full((rows, 2), 1.5, np.float32) for rows in (1, 3, 5)]
    publish(
        repository / name,
        [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)],
        {"x": (FLOAT, ["rows", 2])},
        {"sum": (FLOAT, [])},
        [({"x": item}, {"sum": item.sum()}) for item in items],
        spec="dims: {rows: 1..3..5}\n",
    )


def lookup(repository, name="lookup", last=2):
    """table[x] of a table of three."""
    items = [np.array([index], np.int64) for index in (0, 1, last)]
    publish(
        repository / name,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        {"x": (INT64, ["batch", 1])},
        {"y": (FLOAT, ["batch", 1])},
        [({"x": item}, {"y": 10 * item.astype(np.float32)}) for item in items],
        constants=[("table", np.array([0, 10, 20], np.float32))],
    )


def doubled(repository, name="doubled"):
    """Answers with twice as many columns as the source did."""
    item = np.ones(2, np.float32)
    publish(
        repository / name,
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)],
        {"x": (FLOAT, ["batch", "columns"])},
        {"y": (FLOAT, ["batch", "more"])},
        [({"x": item}, {"y": item})],
        spec="dims: {columns: 1..2..4}\n",
    )


def counts_its_batch(repository, name="counts_its_batch"):
    """Y = x times the rows of the batch: right for each request alone, wrong for joined ones."""
    items = [np.full(2, value, np.float32) for value in (1, 2, 3)]
    publish(
        repository / name,
        [
            helper.make_node("Shape", ["x"], ["shape"], start=0, end=1),
            helper.make_node("Cast", ["shape"], ["rows"], to=FLOAT),
            helper.make_node("Mul", ["x", "rows"], ["y"]),
        ],
        {"x": (FLOAT, ["batch", 2])},
        {"y": (FLOAT, ["batch", 2])},
        [({"x": item}, {"y": item}) for item in items],
    )


METRICS = """
import numpy as np

def nearness(candidate, reference):
    return 1 - float(np.abs(candidate - reference).max())
"""


def own_metric(repository, name, bar):
    """The classifier, judged by a metric of the user's own that says 1 where all is equal."""
    folder = repository / name
    folder.mkdir()
    (folder / "metrics.py").write_text(METRICS)
    spec = f"quality: {{scores: {{'metrics.py:nearness': {bar}}}}}\n"
    classifier(repository, name, spec=spec)


def mislabelled(repository, name, proven_samples):
    """One of six golden labels is not what the model says; nine of ten must agree."""
    spec = "quality: {label: {agreement: 0.9}}\n"
    classifier(repository, name, spec=spec)
    golden = repository / name / "1/golden/000.npz"
    with np.load(golden) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["out.label"] = (arrays["out.label"] + 1) % 3
    np.savez(golden, **arrays)
    lock(repository / name, proven_samples=proven_samples)
