"""Axes: what is declared to vary really varies, or the export is refused."""

import numpy as np
import pytest

from nosbuild.errors import ExportError, SpecError

FROZEN = {
    "a Python list": "return torch.stack([row * 2 for row in x])",
    "a guard": "return x * 2 if x.shape[0] == 2 else x * 3",
    "a loop": "y = x * 0\n    for _ in range(x.shape[0]):\n        y = y + x\n    return y",
    "an item()": "return x * torch.tensor([1.0] * x.shape[0]).sum()",
}


@pytest.mark.parametrize("body", FROZEN.values(), ids=FROZEN)
def test_a_frozen_batch_axis_is_refused_by_name(torch_model, export, body):
    """The graph of some of these runs at every batch size, and answers wrongly."""
    with pytest.raises(ExportError) as caught:
        export(torch_model(f"def forward(self, x):\n    {body}"))
    assert caught.value.message == (
        "x: float32[batch, 3]: dims.batch is 1..8..32, but the export holds only for 2"
    )
    assert "turned into Python numbers (int(x.shape[0])" in caught.value.remedy


def test_a_branch_taken_for_small_sizes_only_is_refused(torch_model, export):
    body = "def forward(self, x):\n    return x * 2 if x.shape[0] < 5 else x * 3"
    with pytest.raises(ExportError, match=r"dims.batch is 1..8..32, but .* only for \d to 4"):
        export(torch_model(body))
    exported = export(torch_model(body, more="dims: {batch: 1..2..4}"))
    exported.agrees_at(batch=4)


def test_an_int_of_the_batch_size_stays_dynamic_or_is_refused(torch_model, export):
    body = "return x.reshape(int(x.shape[0]), -1) * int(x.shape[0])"
    try:
        exported = export(torch_model(f"def forward(self, x):\n    {body}"))
    except ExportError as refused:
        assert "dims.batch" in refused.message
    else:
        for batch in (1, 2, 3, 7):
            exported.agrees_at(batch=batch)


def test_two_axes_vary_by_themselves(torch_model, export):
    spec = torch_model(
        "def forward(self, x):\n    return x.softmax(-1), x.mean(1)",
        "{x: 'float32[batch, seq]'}",
        "{p: 'float32[batch, seq]', mean: 'float32[batch]'}",
        "dims: {batch: 1..4..16, seq: 1..8..64}",
    )
    exported = export(spec)
    assert exported.inputs == {"x": ["batch", "seq"]}
    for sizes in ({"batch": 1, "seq": 1}, {"batch": 16, "seq": 64}, {"batch": 5, "seq": 5}):
        exported.agrees_at(**sizes)
    checked = exported.result["sizes_checked"]
    assert {"batch": 1, "seq": 1} in checked
    assert {"batch": 1, "seq": 64} in checked
    assert {"batch": 16, "seq": 1} in checked


def test_a_fixed_range_is_a_fixed_size(torch_model, export):
    body = "def forward(self, x):\n    return torch.stack([x[:, i] for i in range(x.shape[1])], 1)"
    spec = torch_model(
        body, "{x: 'float32[batch, seq]'}", "{y: 'float32[batch, seq]'}", "dims: {seq: 8}"
    )
    export(spec).agrees_at(batch=3, seq=8)


POOLED = """
def forward(self, x):
    y = nn.functional.avg_pool2d(x, 32)
    assert x.shape[-1] == y.shape[-1] * 32 and x.shape[-2] == y.shape[-2] * 32
    return nn.functional.interpolate(y, scale_factor=32.0) + x
"""
IMAGE = "{x: 'float32[batch, 1, h, w]'}", "{y: 'float32[batch, 1, h, w]'}"


def test_axes_that_move_in_steps(torch_model, export):
    spec = torch_model(POOLED, *IMAGE, "dims: {h: 32..64..128 step 32, w: 32..96..128 step 32}")
    exported = export(spec)
    for h, w in ((32, 32), (128, 32), (96, 64)):
        exported.agrees_at(batch=2, h=h, w=w)


def test_a_range_that_the_model_cannot_take_throughout(torch_model, export):
    spec = torch_model(POOLED, *IMAGE, "dims: {h: 32..64..128, w: 32..96..128}")
    with pytest.raises(ExportError) as caught:
        export(spec)
    assert "the model itself cannot run at batch=3" in caught.value.message
    assert "32..320..960 step 32" in caught.value.remedy


def test_integers_outside_an_embedding(torch_model, export):
    body = """
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 3)
    def forward(self, ids):
        return self.table(ids)
    """
    spec = torch_model(body, "{ids: {tensor: 'int64[batch]', range: [0, 99]}}")
    with pytest.raises(ExportError, match="index out of range"):
        export(spec)
    exported = export(torch_model(body, "{ids: {tensor: 'int64[batch]', range: [0, 9]}}"))
    assert exported.result["inputs"][0]["range"] == (0, 9)
    every = np.arange(10)
    assert np.unique(exported.run(ids=every)["y"], axis=0).shape == (10, 3)


def test_a_batch_that_cannot_be_one_is_refused(torch_model, export):
    spec = torch_model("def forward(self, x):\n    return x", more="dims: {batch: 4..8..16}")
    with pytest.raises(SpecError) as caught:
        export(spec)
    (problem,) = caught.value.problems
    assert problem.key == "dims.batch"
    assert problem.line == 5
    assert "does not start at 1" in problem.found
    assert problem.remedy.startswith("write 1..8..16; ")
