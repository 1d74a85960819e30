"""Hugging Face folders: tensors told by the model, pooling as modules.json says."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    ViTConfig,
    ViTForImageClassification,
)

from nosbuild.errors import HostError, SourceError
from nosbuild.source.load import load_source

SIZE = 16
TINY = {
    "hidden_size": SIZE,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
BERT = BertConfig(**TINY, vocab_size=50, max_position_embeddings=24)
YAML = "source: {huggingface: weights}\n"


def save(folder, model, **files):
    torch.manual_seed(3)
    model.init_weights()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "m" / "weights"


def declarations(tensors):
    return {tensor.name: tensor.declaration for tensor in tensors}


def test_a_bert_tells_its_tensors(folder, make_model, export):
    save(folder, BertModel(BERT), tokenizer_config={"model_max_length": 20})
    spec = make_model(YAML)
    source, complete = load_source(spec)
    assert declarations(source.inputs) == {
        "input_ids": "int64[batch, seq]",
        "attention_mask": "int64[batch, seq]",
    }
    assert declarations(source.outputs) == {
        "last_hidden_state": f"float32[batch, seq, {SIZE}]",
        "pooler_output": f"float32[batch, {SIZE}]",
    }
    assert str(complete.dim_range("seq")) == "1..20..20"  # the tokenizer's limit, not 24
    assert source.inputs[0].range == (0, 49)
    exported = export(spec)
    assert exported.inputs["input_ids"] == ["batch", "seq"]
    exported.agrees_at(batch=3, seq=7)
    exported.agrees_at(batch=1, seq=1)


def test_a_classifier_with_token_types(folder, make_model, export):
    model = BertForSequenceClassification(BertConfig(**BERT.to_diff_dict() | {"num_labels": 3}))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    save(folder, model, tokenizer_config={"model_input_names": names})
    spec = make_model(YAML + "dims: {seq: 1..4..8}")
    source, _ = load_source(spec)
    assert [tensor.name for tensor in source.inputs] == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
    ]
    assert declarations(source.outputs) == {"logits": "float32[batch, 3]"}
    export(spec).agrees_at(batch=2, seq=5)


def test_images_of_the_size_that_the_model_wants(folder, make_model, export):
    config = ViTConfig(**TINY, image_size=32, patch_size=8, num_channels=1, num_labels=5)
    save(folder, ViTForImageClassification(config), preprocessor_config={"size": 256})
    spec = make_model(YAML)
    source, _ = load_source(spec)
    assert declarations(source.inputs) == {"pixel_values": "float32[batch, 1, 32, 32]"}
    assert declarations(source.outputs) == {"logits": "float32[batch, 5]"}
    export(spec).agrees_at(batch=3)


def test_declared_outputs_may_be_fewer(folder, make_model, export):
    save(folder, BertModel(BERT))
    yaml = f"outputs: {{pooler_output: 'float32[batch, {SIZE}]'}}\ndims: {{seq: 1..4..8}}"
    exported = export(make_model(YAML + yaml))
    assert list(exported.outputs) == ["pooler_output"]


def test_an_input_that_forward_does_not_know(folder, make_model):
    save(folder, BertModel(BERT))
    yaml = "inputs: {input_ids: 'int64[batch, seq]', mask: 'int64[batch, seq]'}\ndims: {seq: 1..8}"
    with pytest.raises(SourceError, match=r"input mask is no parameter of BertModel.forward"):
        load_source(make_model(YAML + yaml))


MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens")


def pooled(states, mask, mode):
    """Plain loops over sentences and their real tokens."""
    rows = []
    for tokens, keep in zip(states, mask, strict=True):
        real = tokens[keep == 1]
        rows.append(
            {
                "cls_token": tokens[0],
                "max_tokens": real.max(0),
                "mean_tokens": real.sum(0) / len(real),
                "mean_sqrt_len_tokens": real.sum(0) / np.sqrt(len(real)),
            }[mode]
        )
    return np.stack(rows)


def embedder(folder, modes=("mean_tokens",), after=(), without_pooler=False):
    model = BertModel(BERT, add_pooling_layer=not without_pooler)
    rows = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    rows += [{"path": f"{i}_After", "type": kind} for i, kind in enumerate(after, 2)]
    save(folder, model, modules=rows)
    (folder / "1_Pooling").mkdir()
    config = {f"pooling_mode_{mode}": mode in modes for mode in MODES}
    (folder / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": SIZE, **config})
    )


IDS = np.random.default_rng(0).integers(0, 50, (3, 6))
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])


def hidden(folder):
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        states = model(torch.from_numpy(IDS), torch.from_numpy(MASK)).last_hidden_state
    return states.numpy()


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES])
def test_every_pooling_mode(folder, make_model, export, modes):
    embedder(folder, modes)
    spec = make_model(YAML)
    expected = np.concatenate([pooled(hidden(folder), MASK, mode) for mode in modes], 1)
    source, _ = load_source(spec)
    assert declarations(source.outputs) == {
        "sentence_embedding": f"float32[batch, {SIZE * len(modes)}]"
    }
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    runs = [source.run(inputs)]
    if modes == MODES:  # an export takes seconds
        runs.append(export(spec).run(**inputs))
    for found in runs:
        np.testing.assert_allclose(found["sentence_embedding"], expected, rtol=1e-4, atol=1e-5)


def test_dense_and_normalize_follow_the_pooling(folder, make_model):
    kinds = ("sentence_transformers.models.Dense", "sentence_transformers.models.Normalize")
    embedder(folder, after=kinds, without_pooler=True)
    dense = folder / "2_After"
    dense.mkdir()
    activation = "torch.nn.modules.activation.Tanh"
    config = {
        "in_features": SIZE,
        "out_features": 5,
        "bias": True,
        "activation_function": activation,
    }
    (dense / "config.json").write_text(json.dumps(config))
    weight, bias = torch.randn(5, SIZE), torch.randn(5)
    save_file({"linear.weight": weight, "linear.bias": bias}, dense / "model.safetensors")
    source, _ = load_source(make_model(YAML))
    found = source.run({"input_ids": IDS, "attention_mask": MASK})["sentence_embedding"]
    mean = pooled(hidden(folder), MASK, "mean_tokens")
    expected = np.tanh(mean @ weight.numpy().T + bias.numpy())
    expected /= np.sqrt((expected**2).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def broken_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def no_head(folder):
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))


def unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["NoSuchModel"]
    (folder / "config.json").write_text(json.dumps(config))


BREAK = {
    "no config": (lambda f: (f / "config.json").unlink(), "holds no config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be loaded from"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "cannot be loaded from"),
    "cut weights": (broken_weights, "cannot be loaded from"),
    "no weights for the head": (no_head, "holds no weights for bert.pooler"),
    "unknown architecture": (unknown_architecture, "wants the architecture NoSuchModel"),
    "modules.json is no JSON": (lambda f: (f / "modules.json").write_text("["), "is no JSON"),
    "modules.json lists more": (
        lambda f: (f / "modules.json").write_text('[{"type": "a.b.LSTM", "path": "1"}]'),
        "lists an unsupported a.b.LSTM",
    ),
    "unknown pooling": (
        lambda f: (f / "1_Pooling/config.json").write_text('{"pooling_mode_lasttoken": true}'),
        "unsupported pooling pooling_mode_lasttoken",
    ),
    "no pooling": (
        lambda f: (f / "1_Pooling/config.json").write_text("{}"),
        "unsupported pooling mode (none)",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), BREAK.values(), ids=BREAK)
def test_broken_folders(folder, make_model, spoil, said):
    embedder(folder)
    if spoil is no_head:
        save(folder, BertModel(BERT, add_pooling_layer=False))
    spoil(folder)
    with pytest.raises(SourceError) as caught:
        load_source(make_model(YAML))
    assert said in caught.value.message
    assert caught.value.remedy


def test_a_hub_id_while_offline(make_model, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = make_model("source: {huggingface: nobody/no-such-model}")
    with pytest.raises(HostError, match="the hub is out of reach") as caught:
        load_source(spec)
    assert "HF_ENDPOINT" in caught.value.remedy
