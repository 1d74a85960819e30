"""``source: {torch: ...}`` goes in; an nn.Module with the declared tensors comes out."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nosbuild.errors import SourceError
from nosbuild.source.parameters import no_parameters
from nosbuild.source.references import call, load_callable

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec


class NamedModule(torch.nn.Module):
    """Calls the user's module with tensors in the spec's order; returns the declared outputs so.

    Inputs go to the parameters of ``forward`` that bear their names, or by position where no
    name fits; dict-like results are read by name, tuples by position.
    """

    def __init__(
        self, module: torch.nn.Module, inputs: Sequence[TensorSpec], outputs: Sequence[str]
    ) -> None:
        super().__init__()
        self.module = module
        self.keywords = keyword_names(module, [tensor.name for tensor in inputs])
        self.outputs = tuple(outputs)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Tensors in the spec's order in, declared outputs in the spec's order out."""
        if self.keywords:
            result = self.module(**dict(zip(self.keywords, tensors, strict=True)))
        else:
            result = self.module(*tensors)
        return pick_outputs(result, self.outputs)


def keyword_names(module: torch.nn.Module, names: list[str]) -> tuple[str, ...]:
    """The input names to pass by keyword, or () to pass by position.

    Raises:
        SourceError: ``forward`` can take them neither way, or only some names fit.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = {parameter.name for parameter in named}
    required = [parameter.name for parameter in named if parameter.default is parameter.empty]
    signature = f"{type(module).__name__}.forward({', '.join(p.name for p in parameters)})"
    if inspect.Parameter.VAR_KEYWORD in kinds and set(required) <= set(names):
        return tuple(names)
    if set(names) <= known:
        missing = [name for name in required if name not in names]
        if missing:
            raise SourceError(
                f"{signature} also needs {', '.join(missing)}, which the spec does not declare",
                f"Add {', '.join(missing)} to inputs.",
            )
        return tuple(names)
    if known & set(names):
        strangers = [name for name in names if name not in known]
        raise SourceError(
            f"{no_parameters(strangers)} of {signature}",
            "Give every input its parameter's name (or none of them, to pass all by position).",
        )
    least = sum(parameter.default is parameter.empty for parameter in by_position)
    most = math.inf if inspect.Parameter.VAR_POSITIONAL in kinds else len(by_position)
    keyword_only = set(required) - {parameter.name for parameter in by_position}
    if keyword_only or not least <= len(names) <= most:
        raise SourceError(
            f"the spec declares {len(names)} inputs ({', '.join(names)}), but {signature}",
            "Declare one input for each parameter of forward.",
        )
    return ()


def pick_outputs(result: Any, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """The declared outputs of whatever a module returned, in the spec's order.

    Raises:
        SourceError: a declared output is not there, or is no tensor.
    """
    if isinstance(result, torch.Tensor):
        values: list[Any] = [result]
    elif isinstance(fields := _fields(result, names), Mapping):
        missing = [name for name in names if name not in fields]
        if missing:
            raise SourceError(
                f"the model returned {', '.join(map(str, fields))}, not {', '.join(missing)}",
                "Declare outputs under the names that the model returns.",
            )
        values = [fields[name] for name in names]
    elif isinstance(result, (tuple, list)):
        values = list(result)
    else:
        raise SourceError(
            f"the model returned a {type(result).__name__}",
            "Return a tensor, a tuple of tensors or a dict of tensors.",
        )
    if len(values) != len(names):
        raise SourceError(
            f"the model returned {len(values)} outputs, the spec declares {len(names)} "
            f"({', '.join(names)})",
            "Declare every output, in the order in which the model returns them.",
        )
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, torch.Tensor):
            raise SourceError(
                f"output {name} is a {type(value).__name__}, not a tensor",
                "Return tensors only; wrap the model in a module that picks them.",
            )
    return tuple(values)


def _fields(result: Any, names: Sequence[str]) -> Any:
    """A NamedTuple with the declared names as a mapping: its order need not be the spec's."""
    if set(names) <= set(getattr(result, "_fields", ())):
        return result._asdict()
    return result


class TorchSource:
    """An nn.Module in evaluation mode, as a LoadedSource."""

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        default_dims: dict[str, str] | None = None,
    ) -> None:
        self.inputs = inputs
        self.default_dims = default_dims or {}
        self.outputs = outputs
        self.module = NamedModule(module.eval(), inputs, [tensor.name for tensor in outputs]).eval()
        self._precise: torch.nn.Module | None = None

    def tensors(self, inputs: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
        """The arrays as torch tensors, in the spec's order."""
        return tuple(
            torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])) for tensor in self.inputs
        )

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Evaluate the module without gradients."""
        with torch.no_grad():
            results = self.module(*self.tensors(inputs))
        return self._named(results)

    def run_precise(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Evaluate a float64 copy; None where the module insists on float32."""
        doubles = tuple(t.double() if t.is_floating_point() else t for t in self.tensors(inputs))
        try:
            if self._precise is None:
                self._precise = copy.deepcopy(self.module).double()
            with torch.no_grad():
                return self._named(self._precise(*doubles))
        except (RuntimeError, TypeError, ValueError, AssertionError) as exc:
            print(f"no float64 run: {exc}")  # noqa: T201 - goes to the step's log
            return None

    def use_threads(self, count: int) -> None:
        """For the whole process, as torch has it."""
        torch.set_num_threads(count)

    def _named(self, results: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray]:
        return {
            tensor.name: result.detach().cpu().numpy()
            for tensor, result in zip(self.outputs, results, strict=True)
        }


def load(spec: ModelSpec) -> TorchSource:
    """Call the spec's callable and wrap the module it returns.

    torch's generator is seeded first: a module with random weights is the same in every step.

    Raises:
        SourceError: it raises, or returns something else than an nn.Module.
    """
    torch.manual_seed(0)
    function = load_callable(spec.source.reference, spec.folder)
    what = f"source.torch: {spec.source.reference}"
    if isinstance(function, torch.nn.Module):
        module = function
    elif callable(function):
        module = call(function, what, spec.folder, **spec.source.init)
    else:
        module = function
    if not isinstance(module, torch.nn.Module):
        raise SourceError(
            f"{what} returned a {type(module).__name__}, not a torch.nn.Module",
            "Return the module itself, with its weights loaded.",
        )
    assert spec.input_tensors is not None and spec.output_tensors is not None
    for tensor in (*spec.input_tensors, *spec.output_tensors):
        if tensor.dtype.name == "string":
            raise SourceError(
                f"{tensor.name} is {tensor.declaration}, but torch has no strings",
                "Declare the numbers that the module takes and gives, e.g. int64[batch, seq].",
            )
    return TorchSource(module, spec.input_tensors, spec.output_tensors)
