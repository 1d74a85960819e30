from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

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
