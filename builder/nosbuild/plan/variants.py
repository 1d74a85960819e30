"""Every way to serve a model, as one table."""

from __future__ import annotations

from dataclasses import dataclass, field

from nosbuild.inside_triton.backends.onnxruntime.ort_providers import precision_parameters
from nosbuild.plan.runs_on import RunsOn
from nosbuild.plan.target import Kind
from nosbuild.spec.precision import Precision

BASELINE = "onnx-fp32"
"""The export as it is: portable, and what every other variant's speed is compared with."""


@dataclass(frozen=True)
class PlannedVariant:
    """One way to serve the model."""

    name: str
    precision: Precision
    recipe: tuple[str, ...] = ()
    """Steps that make it from the export, in order: keys of ``steps.optimizing.MAKERS``."""
    targets: tuple[Kind, ...] = ("cpu", "gpu")
    runs_on: RunsOn = field(default_factory=RunsOn)


PYTHON = PlannedVariant("python", "fp32", runs_on=RunsOn(backend="python"))
"""A class as it is: the one way to serve it."""
ENSEMBLE = PlannedVariant("ensemble", "fp32", runs_on=RunsOn(backend="ensemble"))
"""Models that pass values on inside Triton: the one way to serve a pipeline."""


def _cuda(name: str, precision: Precision, *recipe: str) -> PlannedVariant:
    return PlannedVariant(name, precision, recipe, ("gpu",), RunsOn(accelerator="cuda"))


def _provider(name: str, precision: Precision, *recipe: str) -> PlannedVariant:
    mode = precision_parameters(precision)
    return PlannedVariant(
        name, precision, recipe, ("gpu",), RunsOn(accelerator="tensorrt", parameters=mode)
    )


def _tensorrt(name: str, precision: Precision, *recipe: str) -> PlannedVariant:
    return PlannedVariant(
        name, precision, (*recipe, "tensorrt"), ("gpu",), RunsOn(backend="tensorrt")
    )


VARIANTS: tuple[PlannedVariant, ...] = (
    PlannedVariant(BASELINE, "fp32"),
    PlannedVariant("onnx-fp32-optimised", "fp32", ("slim", "fuse")),
    _cuda("onnx-fp32-cuda", "fp32", "slim"),
    _provider("onnx-fp32-tensorrt", "fp32", "slim"),
    _tensorrt("tensorrt-fp32", "fp32", "slim"),
    PlannedVariant("onnx-fp16", "fp16", ("slim", "fp16"), ("cpu",)),
    _cuda("onnx-fp16-cuda", "fp16", "slim", "fp16"),
    _provider("onnx-fp16-tensorrt", "fp16", "slim", "fp16"),
    _tensorrt("tensorrt-fp16", "fp16", "slim", "fp16"),
    _tensorrt("tensorrt-bf16", "bf16", "slim", "bf16"),
    PlannedVariant("onnx-int8-static", "int8", ("slim", "int8-static"), ("cpu",)),
    PlannedVariant(
        "onnx-int8-dynamic", "int8", ("slim", "fuse", "smooth", "int8-dynamic"), ("cpu",)
    ),
    _tensorrt("tensorrt-int8", "int8", "slim", "int8-tensorrt"),
)
"""From the most to the least precise: within the noise of a measurement, the earlier one wins."""
