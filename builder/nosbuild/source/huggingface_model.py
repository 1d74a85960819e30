"""``source: {huggingface: ...}`` goes in; a transformers model, with its pooling, comes out."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nosbuild.errors import HostError, SourceError
from nosbuild.source.derive_outputs import derive_outputs
from nosbuild.source.json_file import read_json
from nosbuild.source.parameters import no_parameters
from nosbuild.source.references import resolve_path
from nosbuild.source.sentence_modules import (
    SENTENCE_EMBEDDING,
    SentenceEmbedding,
    sentence_modules,
)
from nosbuild.source.torch_module import TorchSource
from nosbuild.tensors import BATCH, DTYPES, TensorSpec

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def load(spec: ModelSpec) -> TorchSource:
    """Load the model (from a folder, a package or the hub) and derive what the spec leaves out.

    Raises:
        SourceError: nothing there, or a kind of model that cannot be served as tensors in, out.
        HostError: transformers is not installed, or the hub cannot be reached.
    """
    folder = locate(spec)
    config = _from_pretrained("AutoConfig", folder)
    model, loading = _from_pretrained(
        _architecture(config, folder), folder, dtype=torch.float32, output_loading_info=True
    )
    modules = sentence_modules(folder)
    _check_weights(folder, model, loading["missing_keys"], pooled=bool(modules))
    module = SentenceEmbedding(model, modules) if modules else model.eval()
    if hasattr(config, "use_cache"):
        model.config.use_cache = False
    if hasattr(model.config, "return_dict"):
        model.config.return_dict = True
    _check_parameters(spec, model)
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


def _from_pretrained(class_name: str, folder: Path, **options: Any) -> Any:
    import transformers

    try:
        return getattr(transformers, class_name).from_pretrained(
            folder, local_files_only=True, **options
        )
    except Exception as exc:  # OSError, ValueError, SafetensorError, ImportError, ...
        raise SourceError(
            f"source.huggingface: {class_name} cannot be loaded from {folder}: {exc}",
            "Check that the folder is complete and that transformers knows this architecture.",
        ) from exc


def _check_weights(
    folder: Path, model: torch.nn.Module, missing: Iterable[str], *, pooled: bool
) -> None:
    """Refuse what is incomplete: transformers only warns, and draws missing weights at random."""
    # Pooling reads the token states, so embedders are often saved without BERT's own pooler.
    absent = sorted(key for key in missing if not (pooled and key.startswith("pooler.")))
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise SourceError(
            f"source.huggingface: {folder} holds no weights for {', '.join(absent[:3])}{more} of "
            f"{type(model).__name__}",
            "Save the model again with save_pretrained(), or name in config.json's architectures "
            "the class that was saved.",
        )


def _check_parameters(spec: ModelSpec, model: torch.nn.Module) -> None:
    """Refuse unknown inputs: transformers' models take any keyword, and ignore strange ones."""
    parameters = inspect.signature(model.forward).parameters
    strangers = [t.name for t in spec.input_tensors or () if t.name not in parameters]
    if strangers:
        raise SourceError(
            f"{no_parameters(strangers)} of {type(model).__name__}.forward",
            f"It takes {', '.join(parameters)}.",
        )


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
        tokenizer = read_json(folder / "tokenizer_config.json")
        if "token_type_ids" in tokenizer.get("model_input_names", ()):
            names.append("token_type_ids")
        return tuple(
            TensorSpec(name, DTYPES["int64"], (BATCH, "seq"))
            for name in names
            if name in parameters
        )
    if "pixel_values" in parameters:
        height, width = _image_size(folder, model.config)
        channels = getattr(model.config, "num_channels", 3)
        return (TensorSpec("pixel_values", DTYPES["float32"], (BATCH, channels, height, width)),)
    raise SourceError(
        f"source.huggingface: the inputs of {type(model).__name__} cannot be derived",
        "Declare inputs and outputs in the model.yaml.",
    )


def _image_size(folder: Path, config: Any) -> tuple[int, int]:
    """What the model was made for; what its preprocessor leaves of an image where it is open."""
    size: Any = getattr(config, "image_size", None)
    if size is None:
        preprocessor = read_json(folder / "preprocessor_config.json")
        size = preprocessor.get("size", 224)
        if preprocessor.get("do_center_crop") and "crop_size" in preprocessor:
            size = preprocessor["crop_size"]
    if isinstance(size, dict):
        edge = size.get("shortest_edge", 224)
        size = (size.get("height", edge), size.get("width", edge))
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


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
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        getattr(config, "max_position_embeddings", None),
    ]
    known = [limit for limit in limits if isinstance(limit, int)]
    if not known or not any("seq" in tensor.shape for tensor in inputs):
        return {}
    return {"seq": f"1..{min(32, *known)}..{min(known)}"}


def _output_names(module: torch.nn.Module) -> tuple[str, ...] | None:
    return (SENTENCE_EMBEDDING,) if isinstance(module, SentenceEmbedding) else None
