"""efficientnet_lite0: photographs to names."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

Task = Callable[[str, str], ModuleType]


def test_labels(task: Task) -> None:
    labels = task("efficientnet_lite0", "labels")
    assert len(set(labels.LABELS)) == len(labels.LABELS) == 1000
    assert [labels.LABELS[i] for i in (0, 285, 967, 999)] == [
        "tench",
        "Egyptian cat",
        "espresso",
        "toilet tissue",
    ]


def test_top_orders_by_probability(task: Task) -> None:
    logits = np.full(1000, -1000.0, dtype=np.float32)
    logits[[285, 967, 5]] = np.log([0.7, 0.2, 0.1])
    best = task("efficientnet_lite0", "labels").top(logits)
    assert [name for name, _ in best] == ["Egyptian cat", "espresso", "electric ray"]
    assert [p for _, p in best] == pytest.approx([0.7, 0.2, 0.1], rel=1e-5)


def test_prepare_takes_the_middle_and_normalises(task: Task) -> None:
    image = np.zeros((100, 300, 3), dtype=np.uint8)
    image[:, 100:200] = (255, 127, 63)
    prepared = task("efficientnet_lite0", "images").prepare(image)
    assert prepared.shape == (3, 224, 224)
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous
    for channel, expected in enumerate((1.0, 0.0, -0.5)):
        np.testing.assert_array_equal(prepared[channel], expected)


@pytest.mark.gallery
def test_the_network_knows_its_pictures(task: Task) -> None:
    import torch
    from skimage import data

    model = task("efficientnet_lite0", "classifier").create()
    assert not model.training
    prepare = task("efficientnet_lite0", "images").prepare
    top = task("efficientnet_lite0", "labels").top
    batch = np.stack([prepare(data.chelsea()), prepare(data.coffee()), prepare(data.camera())])
    with torch.no_grad():
        logits = model(torch.from_numpy(batch)).numpy()
    assert [top(row)[0][0] for row in logits] == ["Egyptian cat", "espresso", "tripod"]
