"""A linear model that reads its weights from a file: small, and quick to build."""

import numpy as np

MODEL = """
import numpy as np
from pathlib import Path
from sklearn.linear_model import LinearRegression

def fit():
    weights = np.load(Path(__file__).with_name("weights.npy"))
    corners = np.eye(4)
    return LinearRegression().fit(corners, corners @ weights)
"""
SPEC = """
source: {sklearn: "model.py:fit"}
inputs: {x: "float32[batch, 4]"}
outputs: {y: "float32[batch, 1]"}
dims: {batch: 1}
instances: {count: 1, threads: 1}
"""


def write_linear(folder, more="", model=MODEL):
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(model)
    (folder / "model.yaml").write_text(f"name: {folder.name}\n{SPEC}{more}")
    np.save(folder / "weights.npy", np.arange(4.0))
    return folder
