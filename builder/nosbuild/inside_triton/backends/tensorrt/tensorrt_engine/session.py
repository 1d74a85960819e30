"""A plan file goes in; arrays in, arrays out on a GPU comes out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .agreement import EngineTensor
from .cuda_memory import CudaMemory
from .facts import EngineFacts, read_facts, refusal
from .gpus import CudaCallFailed, NoGpu, gpus
from .library import FLAVOURS, LibraryMissing, Messages, import_flavour
from .shapes import Profile, ShapeRange, ShapeRefused, choose_profile


class EngineUnusable(Exception):
    """This machine cannot run the engine; the text says why."""


class RunFailed(Exception):
    """One run did not succeed; the next may."""


class EngineSession:
    """An engine on a GPU; one run at a time, from any thread."""

    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    profiles: tuple[Profile, ...]

    def __init__(self, plan: Path, device: int = 0) -> None:
        """Check, load, and make an execution context.

        Raises:
            EngineUnusable: no GPU, another TensorRT than the engine's, or a broken plan.
        """
        self._lock = threading.Lock()
        library = _checked_library(plan, device)
        self.version = f"{library.__name__} {library.__version__}"
        self._messages = Messages(library, quiet=True)
        try:
            self._memory = CudaMemory(device)
        except (OSError, CudaCallFailed) as error:
            raise EngineUnusable(f"GPU {device} cannot be used: {error}") from error
        try:
            self._open(library, plan)
        except BaseException:
            self.close()
            raise

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output, under its name.

        Raises:
            ShapeRefused: no profile takes these shapes, or an input is missing or of another dtype.
            RunFailed: TensorRT or the GPU failed.
        """
        for tensor in self.inputs:
            array = arrays.get(tensor.name)
            if array is None:
                raise ShapeRefused(f"input {tensor.name!r} is missing")
            if array.dtype != tensor.dtype:
                raise ShapeRefused(
                    f"input {tensor.name!r} is {array.dtype}; the engine takes {tensor.dtype}"
                )
        shapes = {tensor.name: arrays[tensor.name].shape for tensor in self.inputs}
        profile = choose_profile(self.profiles, shapes)
        with self._lock:
            try:
                return self._run(arrays, profile)
            except CudaCallFailed as error:
                raise RunFailed(str(error)) from error

    def close(self) -> None:
        """Give the GPU's memory back; again is harmless."""
        # In this order: each is used by the one before.
        self._context = self._engine = self._runtime = None
        self._memory.close()

    def _open(self, library: Any, plan: Path) -> None:
        self._context = self._engine = None
        self._runtime = library.Runtime(self._messages.logger)
        self._engine = self._loaded(library, plan)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineUnusable(f"{plan.name} does not start: {self._messages.reason()}")
        self.inputs = self._tensors(library, library.TensorIOMode.INPUT)
        self.outputs = self._tensors(library, library.TensorIOMode.OUTPUT)
        self.profiles = tuple(
            {tensor.name: self._range(tensor.name, index) for tensor in self.inputs}
            for index in range(self._engine.num_optimization_profiles)
        )
        self._profile = -1

    def _range(self, name: str, profile: int) -> ShapeRange:
        low, typical, high = self._engine.get_tensor_profile_shape(name, profile)
        return ShapeRange(tuple(low), tuple(typical), tuple(high))

    def _run(self, arrays: Mapping[str, np.ndarray], profile: int) -> dict[str, np.ndarray]:
        memory, context = self._memory, self._context
        memory.activate()
        self._messages.errors.clear()
        if profile != self._profile:
            self._check(context.set_optimization_profile_async(profile, memory.stream))
            self._profile = profile
        for tensor in self.inputs:
            address = memory.upload(tensor.name, arrays[tensor.name])
            self._check(context.set_input_shape(tensor.name, arrays[tensor.name].shape))
            self._check(context.set_tensor_address(tensor.name, address))
        results = {}
        for tensor in self.outputs:
            shape = tuple(context.get_tensor_shape(tensor.name))
            results[tensor.name] = array = np.empty(shape, tensor.dtype)
            address = memory.buffer(tensor.name, array.nbytes)
            self._check(context.set_tensor_address(tensor.name, address))
        self._check(context.execute_async_v3(memory.stream))
        for name, array in results.items():
            memory.download(name, array)
        memory.wait()
        return results

    def _check(self, succeeded: bool) -> None:
        if not succeeded:
            raise RunFailed(f"{self.version}: {self._messages.reason()}")

    def _loaded(self, library: Any, plan: Path) -> Any:
        data = plan.read_bytes()
        _check_validity(library, self._runtime, data, plan)
        facts = read_facts(plan)
        if facts and "VERSION_COMPATIBLE" in facts.flags:
            # Such a plan carries code of its own; ours was built here, and its hash is proven.
            self._runtime.engine_host_code_allowed = True
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineUnusable(
                f"{self.version} cannot load {plan.name}: {self._messages.reason()}"
            )
        return engine

    def _tensors(self, library: Any, mode: Any) -> tuple[EngineTensor, ...]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        tensors = []
        for name in names:
            if engine.get_tensor_mode(name) != mode:
                continue
            if engine.get_tensor_location(name) != library.TensorLocation.DEVICE:
                raise EngineUnusable(f"tensor {name!r} is a shape, which no request can carry")
            try:
                dtype = np.dtype(library.nptype(engine.get_tensor_dtype(name)))
            except TypeError:
                raise EngineUnusable(
                    f"tensor {name!r} is {engine.get_tensor_dtype(name)}, which numpy does not have"
                ) from None
            tensors.append(EngineTensor(name, dtype, tuple(engine.get_tensor_shape(name))))
        return tuple(tensors)


def _checked_library(plan: Path, device: int) -> Any:
    """The package that can load the plan, after everything that can be judged without loading."""
    if not plan.is_file():
        raise EngineUnusable(f"{plan} is missing")
    try:
        facts = read_facts(plan)
    except ValueError as error:
        raise EngineUnusable(str(error)) from error
    found = gpus()
    if isinstance(found, NoGpu):
        raise EngineUnusable(f"a TensorRT engine needs an NVIDIA GPU, and {found.reason}")
    library = _library_for(facts, FLAVOURS)
    if facts and (why := refusal(facts, found, device=device, installed=library.__version__)):
        raise EngineUnusable(why)
    return library


def _library_for(facts: EngineFacts | None, flavours: Sequence[str]) -> Any:
    problems = []
    for flavour in (facts.flavour,) if facts else flavours:
        try:
            return import_flavour(flavour)
        except LibraryMissing as missing:
            problems.append(str(missing))
    remedy = f"; pip install {facts.requirement}" if facts and facts.requirement else ""
    raise EngineUnusable("; ".join(problems) + remedy)


def _check_validity(library: Any, runtime: Any, data: bytes, plan: Path) -> None:
    """Ask the library itself, where it can tell from the header alone (TensorRT-RTX)."""
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, diagnostics = runtime.get_engine_validity(data)
    if validity != library.EngineValidity.INVALID:
        return
    reasons = [
        name.lower().replace("_", " ")
        for name, flag in library.EngineInvalidityDiagnostics.__members__.items()
        if int(flag) & int(diagnostics)
    ]
    raise EngineUnusable(
        f"{library.__name__} {library.__version__} cannot run {plan.name} on this GPU: "
        f"{', '.join(reasons) or 'it does not say why'}"
    )
