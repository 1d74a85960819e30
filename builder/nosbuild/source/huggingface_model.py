"""``source: {huggingface: ...}`` goes in; a transformers model, with its pooling, comes out.

Sentence-embedding models declare what follows the transformer in their own ``modules.json``
(format: sentence-transformers, ``Pooling``, ``Dense`` and ``Normalize`` modules with a
``config.json`` each); it is part of the model here, so that the server returns the embedding.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nosbuild.errors import HostError, SourceError
from nosbuild.source.derive_outputs import derive_outputs
from nosbuild.source.references import resolve_path
from nosbuild.source.torch_module import TorchSource
from nosbuild.tensors import BATCH, DTYPES, TensorSpec

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

SENTENCE_EMBEDDING = "sentence_embedding"


def load(spec: ModelSpec) -> TorchSource:
    """Load the model (from a folder, a package or the hub) and derive what the spec leaves out.

    Raises:
        SourceError: nothing there, or a kind of model that cannot be served as tensors in, out.
        HostError: transformers is not installed, or the hub cannot be reached.
    """
    folder = locate(spec)
    config = _from_pretrained("AutoConfig", folder, spec)
    model = _from_pretrained(_architecture(config, folder), folder, spec, dtype=torch.float32)
    modules = _sentence_modules(folder)
    module = SentenceEmbedding(model, modules) if modules else model.eval()
    if hasattr(config, "use_cache"):
        model.config.use_cache = False
    if hasattr(model.config, "return_dict"):
        model.config.return_dict = True
    inputs = _with_vocabulary(spec.input_tensors or _inputs(folder, model), config)
    default_dims = _default_dims(inputs, folder, config)
    outputs = spec.output_tensors or derive_outputs(
        module, inputs, spec.with_tensors(inputs, (), default_dims), _output_names(module)
    )
    return TorchSource(module, inputs, outputs, default_dims)


def locate(spec: ModelSpec) -> Path:
    """The folder that holds the model; downloaded first where the reference is a hub id."""
    reference = spec.source.reference
    if importlib.util.find_spec("transformers") is None:
        raise HostError("transformers is not installed", "pip install 'nosbuild[torch]'")
    if ":" in reference or (spec.folder / reference).exists():
        path = resolve_path(reference, spec.folder)
        if not (path / "config.json").is_file():
            raise SourceError(
                f"source.huggingface: {path} holds no config.json",
                "Name the folder that save_pretrained() wrote.",
            )
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(reference, revision=spec.source.revision))
    except HFValidationError as exc:
        raise SourceError(
            f"source.huggingface: {reference!r} is no folder here and no hub id ({exc})",
            "Name a folder next to the model.yaml, package:subfolder, or a hub id (org/name).",
        ) from exc
    except LocalEntryNotFoundError as exc:
        raise HostError(
            f"source.huggingface: {reference!r} is no folder here, and the hub is out of reach",
            "Check the path, or the network (HF_ENDPOINT, HF_TOKEN, proxy).",
        ) from exc
    except HfHubHTTPError as exc:
        raise SourceError(
            f"source.huggingface: the hub refused {reference!r}: {exc}",
            "Check the id and revision; a gated model needs HF_TOKEN.",
        ) from exc


def _from_pretrained(class_name: str, folder: Path, spec: ModelSpec, **options: Any) -> Any:
    import transformers

    try:
        return getattr(transformers, class_name).from_pretrained(
            folder, local_files_only=True, **options
        )
    except (OSError, ValueError, KeyError) as exc:
        raise SourceError(
            f"source.huggingface: {class_name} cannot be loaded from {folder}: {exc}",
            "Check that the folder is complete and that transformers knows this architecture.",
        ) from exc


def _architecture(config: Any, folder: Path) -> str:
    import transformers

    names = getattr(config, "architectures", None) or ["AutoModel"]
    if hasattr(transformers, names[0]):
        return str(names[0])
    raise SourceError(
        f"source.huggingface: {folder} wants the architecture {names[0]}, "
        f"which transformers {transformers.__version__} does not have",
        "Install the version of transformers that has it, or load it with source: {torch: ...}.",
    )


def _inputs(folder: Path, model: torch.nn.Module) -> tuple[TensorSpec, ...]:
    """What the tokenizer makes and ``forward`` takes; images for vision models."""
    parameters = inspect.signature(model.forward).parameters
    if "input_ids" in parameters:
        names = ["input_ids", "attention_mask"]
        tokenizer = _read_json(folder / "tokenizer_config.json")
        if "token_type_ids" in tokenizer.get("model_input_names", ()):
            names.append("token_type_ids")
        return tuple(
            TensorSpec(name, DTYPES["int64"], (BATCH, "seq"))
            for name in names
            if name in parameters
        )
    if "pixel_values" in parameters:
        size = _read_json(folder / "preprocessor_config.json").get("size", {})
        height = size.get("height", size.get("shortest_edge", 224))
        width = size.get("width", size.get("shortest_edge", 224))
        return (TensorSpec("pixel_values", DTYPES["float32"], (BATCH, 3, height, width)),)
    raise SourceError(
        f"source.huggingface: the inputs of {type(model).__name__} cannot be derived",
        "Declare inputs and outputs in the model.yaml.",
    )


def _with_vocabulary(inputs: tuple[TensorSpec, ...], config: Any) -> tuple[TensorSpec, ...]:
    """Give undeclared ranges to the inputs whose legal values the configuration tells."""
    legal: dict[str, tuple[float, float]] = {"attention_mask": (1, 1)}
    if getattr(config, "vocab_size", None):
        legal["input_ids"] = (0, config.vocab_size - 1)
    if getattr(config, "type_vocab_size", None):
        legal["token_type_ids"] = (0, max(0, config.type_vocab_size - 1))
    return tuple(TensorSpec(t.name, t.dtype, t.shape, t.range or legal.get(t.name)) for t in inputs)


def _default_dims(inputs: tuple[TensorSpec, ...], folder: Path, config: Any) -> dict[str, str]:
    """Sequence length from the model's own limit, for a spec that gives none."""
    limits = [
        _read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        getattr(config, "max_position_embeddings", None),
    ]
    known = [limit for limit in limits if isinstance(limit, int)]
    if not known or not any("seq" in tensor.shape for tensor in inputs):
        return {}
    return {"seq": f"1..{min(32, *known)}..{min(known)}"}


def _output_names(module: torch.nn.Module) -> tuple[str, ...] | None:
    return (SENTENCE_EMBEDDING,) if isinstance(module, SentenceEmbedding) else None


class SentenceEmbedding(torch.nn.Module):
    """A transformer followed by the modules that its modules.json lists."""

    def __init__(self, transformer: torch.nn.Module, modules: list[torch.nn.Module]) -> None:
        super().__init__()
        self.transformer = transformer.eval()
        self.after = torch.nn.ModuleList(modules)
        # NamedModule matches the declared inputs with the transformer's own parameters.
        self.__signature__ = inspect.signature(transformer.forward)

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
    linear.load_state_dict(stored)
    activation = str(config.get("activation_function", "torch.nn.Identity")).rpartition(".")[2]
    return torch.nn.Sequential(linear, getattr(torch.nn, activation)())


def _sentence_modules(folder: Path) -> list[torch.nn.Module]:
    """The modules after the transformer; none where the model is no sentence embedder."""
    listed = _read_json(folder / "modules.json")
    if not listed:
        return []
    modules: list[torch.nn.Module] = []
    for row in listed:
        kind = row["type"].rpartition(".")[2]
        config = _read_json(folder / row["path"] / "config.json")
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


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
