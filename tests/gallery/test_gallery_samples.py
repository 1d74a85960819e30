"""Every gallery model brings real samples that fit its own spec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from nosbuild import hub
from nosbuild.spec import load_spec

Task = Callable[[str, str], ModuleType]

AT_LEAST = {
    "breast_cancer": 200,
    "efficientnet_lite0": 60,
    "minilm": 200,
    "ocr_detect": 10,
    "ocr_direction": 30,
    "ocr_recognize": 40,
}
"""Models of tensors, and how many samples they bring."""
OF_VALUES = {
    "image_classifier": 12,
    "minilm_tokenizer": 15,
    "ocr": 6,
    "smollm2": 4,
    "text_embedding": 15,
}
"""Classes and pipelines, which take texts and files."""


def samples(task: Task, model: str) -> list[dict[str, np.ndarray]]:
    file, _, function = str(load_spec(hub.find(model).folder).samples).partition(":")
    return list(getattr(task(model, file.removesuffix(".py")), function)())


def test_module_names_are_unique_across_models() -> None:
    # One process may import the task code of several models (the demo does).
    files = [file for model in hub.models() for file in model.folder.glob("*.py")]
    names = Counter(file.stem for file in files if file.stem != "samples")
    assert len(names) >= 10
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("model", AT_LEAST)
def test_samples_fit_the_spec(task: Task, model: str) -> None:
    spec = load_spec(hub.find(model).folder)
    assert spec.input_tensors is not None
    items = samples(task, model)
    assert len(items) >= AT_LEAST[model]
    for item in items:
        sizes: dict[str, int] = {}
        assert list(item) == [tensor.name for tensor in spec.input_tensors]
        for tensor in spec.input_tensors:
            array = item[tensor.name]
            assert array.dtype == tensor.dtype.numpy
            assert tensor.mismatch(array.shape, item=True) == ""
            for dim, size in zip(tensor.item_shape, array.shape, strict=True):
                if isinstance(dim, str):
                    assert sizes.setdefault(dim, size) == size, f"two sizes of {dim} in one item"
        for dim, size in sizes.items():
            allowed = spec.dims[dim]
            assert allowed.min <= size <= allowed.max
            assert size % allowed.step == 0


@pytest.mark.parametrize("model", AT_LEAST)
def test_samples_are_the_same_every_time(task: Task, model: str) -> None:
    for once, again in zip(samples(task, model), samples(task, model), strict=True):
        for name, array in once.items():
            np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize("model", AT_LEAST)
def test_samples_differ_and_some_share_a_shape(task: Task, model: str) -> None:
    items = samples(task, model)
    assert len({b"".join(a.tobytes() for a in item.values()) for item in items}) == len(items)
    shapes = Counter(tuple(a.shape for a in item.values()) for item in items)
    assert max(shapes.values()) >= 4


@pytest.mark.parametrize("model", ["efficientnet_lite0", "ocr_detect", "ocr_recognize"])
def test_pixels_are_normalised(task: Task, model: str) -> None:
    for item in samples(task, model):
        (pixels,) = item.values()
        assert np.abs(pixels).max() <= 1.0
        assert pixels.std() > 0.05, "a blank picture proves nothing"


@pytest.mark.parametrize("model", OF_VALUES)
def test_texts_and_files_differ_and_are_the_same_every_time(task: Task, model: str) -> None:
    items = [repr(item) for item in samples(task, model)]
    assert len(set(items)) == len(items) >= OF_VALUES[model]
    assert items == [repr(item) for item in samples(task, model)]
