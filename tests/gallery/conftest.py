from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ahead import WORTH_IT, Ahead

import nosbuild
from nosclient import Client

GALLERY = Path(__file__).resolve().parents[2] / "model_repository"


def load(model: str, module: str) -> ModuleType:
    """Import model_repository/<model>/<module>.py afresh, its neighbours importable."""
    file = GALLERY / model / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"gallery_{model}_{module}", file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(file.parent))
    return loaded


BUILT = (
    "breast_cancer",
    "efficientnet_lite0",
    "minilm",
    "ocr_detect",
    "ocr_direction",
    "ocr_recognize",
    "smollm2_decoder",
    "minilm_tokenizer",
    "image_classifier",
    "ocr",
    "smollm2",
    "text_embedding",
)
"""Those that others call come first."""


AHEAD = pytest.StashKey[Ahead]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to build where other tests come first."""
    needing = (
        number
        for number, item in enumerate(session.items)
        if "built" in getattr(item, "fixturenames", ())
    )
    if next(needing, 0) >= WORTH_IT and not session.config.option.collectonly:
        lock = Path(tempfile.mkdtemp(prefix="gallery-ahead-")) / "lock"
        session.stash[AHEAD] = Ahead(lock, [GALLERY / name for name in BUILT])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if ahead := session.stash.get(AHEAD, None):
        ahead.end()
        shutil.rmtree(ahead.lock.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, nosbuild.BuildResult]:
    """The gallery, built with its real weights into one repository."""
    if ahead := request.session.stash.get(AHEAD, None):
        ahead.end()
    repository = tmp_path_factory.mktemp("gallery")
    return {name: nosbuild.build(GALLERY / name, repository) for name in BUILT}


@pytest.fixture(scope="session")
def service(built: dict[str, nosbuild.BuildResult]) -> Iterator[nosbuild.InferenceService]:
    """A real Triton that serves it."""
    repository = built["minilm"].folder.parent
    with nosbuild.serve(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="session", params=["grpc", "http"])
def client(request: pytest.FixtureRequest, service: nosbuild.InferenceService) -> Iterator[Client]:
    url = service.grpc_url if request.param == "grpc" else service.http_url
    with Client(url) as made:
        yield made


@pytest.fixture(scope="session")
def task() -> Callable[[str, str], ModuleType]:
    return load


ONNX = {
    "ocr_detect": "ch_PP-OCRv4_det_infer.onnx",
    "ocr_direction": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "ocr_recognize": "ch_PP-OCRv4_rec_infer.onnx",
}


class OnnxMember:
    """A gallery model, called as a class in Triton calls it: ``await member.aio(x=array)``."""

    def __init__(self, model: str) -> None:
        import onnxruntime

        package = distribution("rapidocr-onnxruntime")
        file = package.locate_file(f"rapidocr_onnxruntime/models/{ONNX[model]}")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    async def aio(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = [value.name for value in self.session.get_outputs()]
        return dict(zip(outputs, self.session.run(outputs, inputs), strict=True))


@pytest.fixture(scope="session")
def onnx_models() -> Callable[..., Any]:
    """``onnx_models("ocr_detect")``: what is given to a class as ``models``, without a server."""
    return lambda *names: SimpleNamespace(**{name: OnnxMember(name) for name in names})


@pytest.fixture(scope="session")
def original_llama() -> Any:
    """Transformers' own Llama with SmolLM2's weights, as its own reader of GGUF turns them."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    file = str(load("smollm2_decoder", "llama").weights())
    model = LlamaForCausalLM(LlamaConfig(**load_gguf_checkpoint(file)["config"]))
    loaded = load_gguf_checkpoint(file, return_tensors=True, model_to_load=model)
    missing, unexpected = model.load_state_dict(loaded["tensors"], strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])  # the embeddings are both
    model.tie_weights()
    return model.eval()
