"""The step that measures what an instance holds, run in a child that does nothing else."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.plan import RunsOn
from nosbuild.steps.functions import complete

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec

_LIBRARIES = ("numpy", "onnxruntime")
"""Of a worker of Triton's that runs an ONNX file."""


def memory(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    variant: dict[str, Any],
    golden: str,
    tensors: dict[str, Any],
    instances: int,
    threads: int,
) -> dict[str, Any]:
    """The Memory of one instance, as it is to be served."""
    import onnxruntime  # noqa: F401 - before anything is measured

    from nosbuild.verify.golden import read_golden
    from nosbuild.verify.memory import measure_memory
    from nosbuild.verify.references import batch_sizes
    from nosbuild.verify.runner import open_runner
    from nosbuild.verify.samples import batches

    known = complete(spec, tensors)
    items = [sample.inputs for sample in read_golden(Path(golden))]
    size = max(batch_sizes(known))
    joined = [batch.inputs for batch in batches(items, size, every_shape=False)]
    inputs = joined if known.is_batched else items
    opened = partial(
        open_runner,
        Path(artifact),
        RunsOn(**variant["runs_on"]),
        threads=threads,
        spinning=instances == 1,
    )
    largest = max(inputs, key=lambda arrays: sum(array.nbytes for array in arrays.values()))
    return measure_memory(opened, largest, size, _LIBRARIES).model_dump(mode="json")
