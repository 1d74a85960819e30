"""Small models with attention, exported as users export them, and a way to compare two files."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BATCH_AND_SEQ = {0: "batch", 1: "seq"}


def export_bert(path: Path, heads: int = 4, hidden: int = 32) -> None:
    """A BERT of two layers with random weights, as transformers writes it."""
    import torch
    from transformers import BertConfig, BertModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            config = BertConfig(
                vocab_size=50,
                hidden_size=hidden,
                num_hidden_layers=2,
                num_attention_heads=heads,
                intermediate_size=2 * hidden,
                max_position_embeddings=64,
            )
            self.bert = BertModel(config, add_pooling_layer=False).eval()

        def forward(self, ids, mask):
            return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.randint(0, 50, (2, 6))
    _export(Encoder().eval(), (ids, torch.ones_like(ids)), ["ids", "mask"], path)


def export_causal(path: Path) -> None:
    """A decoder's attention: each token sees those before it, and no padding."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.qkv = torch.nn.Linear(24, 72)
            self.out = torch.nn.Linear(24, 24)

        def forward(self, x, mask):
            batch, seq = x.shape[0], x.shape[1]
            parts = self.qkv(x).view(batch, seq, 3, 3, 8).unbind(2)
            query, key, value = (part.transpose(1, 2) for part in parts)
            seen = torch.ones(seq, seq, dtype=torch.bool).tril() & (mask[:, None, None, :] > 0)
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, seen)
            return self.out(mixed.transpose(1, 2).reshape(batch, seq, 24))

    x = torch.randn(2, 6, 24)
    _export(Decoder().eval(), (x, torch.ones(2, 6, dtype=torch.int64)), ["x", "mask"], path)


def _export(module, args, names: list[str], path: Path) -> None:
    import torch

    dynamic = tuple(dict.fromkeys(BATCH_AND_SEQ, torch.export.Dim.AUTO) for _ in args)
    program = torch.onnx.export(
        module, args, dynamo=True, opset_version=20, input_names=names, dynamic_shapes=dynamic
    )
    program.save(path)


def write_older_bert(
    path: Path, mask_from: int = TensorProto.INT64, heads: int = 2, guarded: bool = False
) -> None:
    """One attention as older exporters write it: scores divided, ``(1 - mask) * -10000`` added.

    ``guarded``: -inf is added instead, and what becomes NaN by that counts as 0.
    """
    rng = np.random.default_rng(0)
    hidden, size = 16, 16 // heads
    weights = {
        **{f"w{part}": rng.normal(size=(hidden, hidden)).astype(np.float32) for part in "qkvo"},
        "heads": np.array([0, 0, heads, size]),
        "joined": np.array([0, 0, hidden]),
        "root": np.float32(size**0.5),
        "one": np.float32(1),
        "low": np.float32(-10000),
        "axes": np.array([1, 2]),
    }
    nodes = []
    for part, order in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3))):
        nodes += [
            helper.make_node("MatMul", ["x", f"w{part}"], [f"{part}1"]),
            helper.make_node("Reshape", [f"{part}1", "heads"], [f"{part}2"]),
            helper.make_node("Transpose", [f"{part}2"], [part], perm=order),
        ]
    nodes.append(helper.make_node("Unsqueeze", ["mask", "axes"], ["wide"]))
    if guarded:
        weights |= {"zero": np.float32(0), "least": np.float32(-np.inf)}
        nodes += [
            helper.make_node("Cast", ["wide"], ["kept"], to=TensorProto.BOOL),
            helper.make_node("Where", ["kept", "zero", "least"], ["bias"]),
        ]
    else:
        nodes += [
            helper.make_node("Cast", ["wide"], ["kept"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["one", "kept"], ["gone"]),
            helper.make_node("Mul", ["gone", "low"], ["bias"]),
        ]
    nodes += [
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Div", ["scores", "root"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shares"], axis=-1),
    ]
    if guarded:
        nodes += [
            helper.make_node("IsNaN", ["shares"], ["empty"]),
            helper.make_node("Where", ["empty", "zero", "shares"], ["filled"]),
        ]
    nodes += [
        helper.make_node("MatMul", ["filled" if guarded else "shares", "v"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["back"], perm=(0, 2, 1, 3)),
        helper.make_node("Reshape", ["back", "joined"], ["whole"]),
        helper.make_node("MatMul", ["whole", "wo"], ["y"]),
    ]
    write(
        path,
        nodes,
        [("x", TensorProto.FLOAT, ["batch", "seq", hidden]), ("mask", mask_from, ["batch", "seq"])],
        [("y", TensorProto.FLOAT, ["batch", "seq", hidden])],
        weights,
        opset=13,
    )


def write(path: Path, nodes, inputs, outputs, weights, opset: int = 20) -> None:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*row) for row in inputs],
        [helper.make_tensor_value_info(*row) for row in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def run(path: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def feeds(inputs: dict[str, tuple], seed: int = 0):
    """Random inputs at several sizes; masks pad on either side, to none or all of a row."""
    rng = np.random.default_rng(seed)
    for batch, seq in ((1, 1), (1, 7), (5, 8), (3, 16)):
        feed = {}
        for name, kind in inputs.items():
            if kind[0] == "ids":
                feed[name] = rng.integers(0, kind[1], (batch, seq))
            elif kind[0] == "floats":
                feed[name] = rng.normal(size=(batch, seq, kind[1])).astype(np.float32)
            else:
                mask = np.ones((batch, seq), np.int64)
                for row in range(1, batch):
                    cut = min(row * 3, seq)
                    mask[row, seq - cut :] = 0
                    mask[row] = mask[row, ::-1] if row % 2 else mask[row]
                feed[name] = mask
        yield feed


def op_types(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def face(path: Path) -> list[tuple[str, int, list[str | int]]]:
    """Names, dtypes and axes of inputs and outputs."""
    graph = onnx.load(path, load_external_data=False).graph
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    ]
