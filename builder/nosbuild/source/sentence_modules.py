"""A folder's modules.json goes in; the modules that follow the transformer come out.

Sentence-embedding models declare what follows the transformer in their own ``modules.json``
(format: sentence-transformers, ``Pooling``, ``Dense`` and ``Normalize`` modules with a
``config.json`` each); it is part of the model here, so that the server returns the embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nosbuild.errors import SourceError
from nosbuild.source.json_file import read_json

SENTENCE_EMBEDDING = "sentence_embedding"
"""The output's name, as sentence-transformers calls it."""


class SentenceEmbedding(torch.nn.Module):
    """A transformer followed by the modules that its modules.json lists."""

    def __init__(self, transformer: torch.nn.Module, modules: list[torch.nn.Module]) -> None:
        super().__init__()
        self.transformer = transformer.eval()
        self.after = torch.nn.ModuleList(modules)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **others: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """int64[batch, seq] each in; float32[batch, size] out, under ``sentence_embedding``."""
        states = self.transformer(input_ids=input_ids, attention_mask=attention_mask, **others)
        value = states.last_hidden_state
        for module in self.after:
            value = module(value, attention_mask) if isinstance(module, Pooling) else module(value)
        return {SENTENCE_EMBEDDING: value}


class Pooling(torch.nn.Module):
    """Tokens -> sentence, by the modes of sentence-transformers' Pooling, concatenated."""

    MODES = (
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
    )

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.modes = [mode for key, mode in self.MODES if config.get(key)]
        unknown = [
            key
            for key, value in config.items()
            if key.startswith("pooling_mode_") and value is True and key not in dict(self.MODES)
        ]
        if unknown or not self.modes:
            raise SourceError(
                f"source.huggingface: unsupported pooling {', '.join(unknown) or 'mode (none)'}",
                f"Supported are {', '.join(key for key, _ in self.MODES)}.",
            )

    def forward(self, states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """float[batch, seq, size], int64[batch, seq] -> float[batch, size * modes]."""
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        length = mask.sum(1).clamp(min=1e-9)
        pooled = []
        for mode in self.modes:
            if mode == "cls":
                pooled.append(states[:, 0])
            elif mode == "max":
                lowest = torch.finfo(states.dtype).min
                pooled.append(states.masked_fill(mask == 0, lowest).amax(1))
            elif mode == "mean":
                pooled.append((states * mask).sum(1) / length)
            else:
                pooled.append((states * mask).sum(1) / length.sqrt())
        return torch.cat(pooled, dim=-1)


class Normalize(torch.nn.Module):
    """Scale to unit length."""

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """float[batch, size] -> the same, of L2 norm 1."""
        return torch.nn.functional.normalize(embedding, p=2.0, dim=1)


def _dense(folder: Path, config: dict[str, Any]) -> torch.nn.Module:
    from safetensors.torch import load_file

    linear = torch.nn.Linear(
        config["in_features"], config["out_features"], config.get("bias", True)
    )
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise SourceError(
            f"source.huggingface: {folder} has no model.safetensors",
            "Save the sentence-transformers model again with safe_serialization=True.",
        )
    stored = {key.removeprefix("linear."): value for key, value in load_file(weights).items()}
    name = str(config.get("activation_function", "torch.nn.Identity"))
    activation = getattr(torch.nn, name.rpartition(".")[2], None)
    if activation is None:
        raise SourceError(
            f"source.huggingface: {folder} has the activation {name}, which torch.nn does not have",
            "Use one of torch.nn's own.",
        )
    try:
        linear.load_state_dict(stored)
    except RuntimeError as exc:
        raise SourceError(
            f"source.huggingface: the weights in {weights} do not fit its config.json: {exc}",
            "Save the sentence-transformers model again.",
        ) from exc
    return torch.nn.Sequential(linear, activation())


def sentence_modules(folder: Path) -> list[torch.nn.Module]:
    """The modules after the transformer; none where the model is no sentence embedder."""
    listed = read_json(folder / "modules.json")
    if not listed:
        return []
    modules: list[torch.nn.Module] = []
    for row in listed:
        kind = row["type"].rpartition(".")[2]
        config = read_json(folder / row["path"] / "config.json")
        if kind == "Transformer":
            continue
        if kind == "Pooling":
            modules.append(Pooling(config))
        elif kind == "Normalize":
            modules.append(Normalize())
        elif kind == "Dense":
            modules.append(_dense(folder / row["path"], config))
        else:
            raise SourceError(
                f"source.huggingface: {folder / 'modules.json'} lists an unsupported {row['type']}",
                "Supported after the Transformer: Pooling, Dense, Normalize.",
            )
    return modules
