"""efficientnet_lite0 and image_classifier: photographs to names."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

Task = Callable[[str, str], ModuleType]


def test_labels(task: Task) -> None:
    labels = task("image_classifier", "labels")
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
    best = task("image_classifier", "labels").top(logits)
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
    top = task("image_classifier", "labels").top
    batch = np.stack([prepare(data.chelsea()), prepare(data.coffee()), prepare(data.camera())])
    with torch.no_grad():
        logits = model(torch.from_numpy(batch)).numpy()
    assert [top(row)[0][0] for row in logits] == ["Egyptian cat", "espresso", "tripod"]


def test_the_class_prepares_as_the_network_was_proven(task: Task) -> None:
    prepare = task("image_classifier", "classify").prepare
    rng = np.random.default_rng(0)
    for shape in ((300, 200, 3), (201, 301, 3), (50, 50, 3)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        wanted = task("efficientnet_lite0", "images").prepare(image)
        np.testing.assert_array_equal(prepare(Image.fromarray(image)), wanted)
    upside_down = Image.new("RGB", (64, 64))
    upside_down.paste((255, 0, 0), (0, 0, 64, 32))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3  # Orientation: the camera was held upside down
    upside_down.save(file, "PNG", exif=exif)
    red = prepare(Image.open(file))[0]
    assert red[:100].max() < red[-100:].min()
    for mode in ("L", "RGBA", "P", "1"):
        assert prepare(Image.new(mode, (40, 30))).shape == (3, 224, 224)


@pytest.mark.gallery
def test_the_class_names_what_is_in_the_files(task: Task) -> None:
    import torch

    network = task("efficientnet_lite0", "classifier").create()

    def look(image: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            return {"logits": network(torch.from_numpy(image)).numpy()}

    classifier = task("image_classifier", "classify").Classifier(
        SimpleNamespace(efficientnet_lite0=look)
    )
    files = [item["image"].item() for item in task("image_classifier", "samples").pictures()]
    answer = classifier([Image.open(io.BytesIO(file)) for file in files])
    assert answer["label"].shape == answer["score"].shape == (len(files), 5)
    assert {"Egyptian cat", "espresso", "tripod"} <= set(answer["label"][:, 0])
    assert (np.diff(answer["score"], axis=1) <= 0).all()
