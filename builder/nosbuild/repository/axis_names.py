"""Tensors go in; a parameter of config.pbtxt comes out that tells how their axes are named.

Triton's configuration has no place for it. nosclient shows the names, and refuses a request in
which axes of one name differ in size, which a model would in words of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nosbuild.tensors import BATCH, TensorSpec

AXIS_NAMES = "axis_names"
"""Of the parameter: JSON, tensor -> its axes; an empty name where the size is fixed. Only tensors
with a named axis beside the batch."""


def set_axis_names(config: Any, tensors: Sequence[TensorSpec]) -> None:
    """Write the parameter, where there is an axis to name."""
    names = {
        tensor.name: [axis if isinstance(axis, str) else "" for axis in tensor.shape]
        for tensor in tensors
        if any(isinstance(axis, str) and axis != BATCH for axis in tensor.shape)
    }
    if names:
        config.parameters[AXIS_NAMES].string_value = json.dumps(names, separators=(",", ":"))
