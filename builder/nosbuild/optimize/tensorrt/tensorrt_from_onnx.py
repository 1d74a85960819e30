"""An ONNX file and profiles go in; ``model.plan`` and what is known of it come out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nosbuild.errors import InputError, Refused
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.facts import FACTS_FILE, EngineFacts
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.library import Messages
from nosbuild.optimize.made import Made
from nosbuild.optimize.tensorrt.flavours import Flavour, flavour_named
from nosbuild.optimize.tensorrt.network import (
    PORTABLE,
    new_builder,
    parse_onnx,
    strongly_typed_network,
)
from nosbuild.optimize.tensorrt.profiles import OptimisationProfile
from nosbuild.optimize.tensorrt.progress import Progress
from nosbuild.optimize.tensorrt.timing_cache import (
    keep_timings,
    load_timings,
    timing_cache_file,
)
from nosbuild.store.hashing import sha256_of_file
from nosbuild.store.host_errors import host_errors

PLAN = "model.plan"
HardwareCompatibility = Literal["none", "same_compute_capability", "ampere_plus"]


@dataclass(frozen=True)
class Compatibility:
    """On what else than the building machine an engine shall run; each costs some speed."""

    hardware: HardwareCompatibility = "none"
    versions: bool = False
    """Later versions of TensorRT, of the same major one, too."""


def tensorrt_from_onnx(
    source: Path,
    out: Path,
    *,
    profiles: Sequence[OptimisationProfile],
    flavour: str | None = None,
    workspace_bytes: int = 0,
    timing_cache: Path | None = None,
    compatibility: Compatibility | None = None,
    time_limit: float | None = None,
) -> Made:
    """Build an engine; types are those of the graph (fp32, fp16, bf16, Q/DQ int8).

    Args:
        source: the ONNX file.
        out: folder for ``model.plan`` and ``model.engine.json``.
        profiles: at least one; every input in each.
        flavour: tensorrt or tensorrt_rtx; None for the better one that can build here.
        workspace_bytes: GPU memory that a kernel may use for itself; 0 for TensorRT's own limit.
        timing_cache: where kernel timings are kept; None for nosbuild's cache folder.
        compatibility: None for this machine alone.
        time_limit: seconds; None for as long as it takes.

    Raises:
        InputError: profiles that do not fit the model's inputs.
        Refused: no TensorRT can build here; it does not know an operator, finds no way to run the
            graph, or does not finish in time.
        HostError: no space for the engine.
    """
    chosen = flavour_named(flavour)
    wanted = compatibility or Compatibility()
    messages = Messages(chosen.library)
    sys.stderr.write(f"{chosen.title}: {source}\n")
    builder = new_builder(chosen, messages)
    network = strongly_typed_network(chosen, builder)
    parse_onnx(chosen, network, source, messages)
    _check_inputs(network, profiles)

    config = builder.create_builder_config()
    flags = _set_compatibility(chosen, config, wanted)
    if workspace_bytes:
        config.set_memory_pool_limit(chosen.library.MemoryPoolType.WORKSPACE, workspace_bytes)
    for profile in profiles:
        _add_profile(builder, config, profile, messages)
    timings = (timing_cache or timing_cache_file(chosen)) if chosen.times_kernels else None
    if timings:
        load_timings(config, timings)
    progress = Progress(chosen.library, time_limit)
    if progress.monitor is not None:
        config.progress_monitor = progress.monitor

    started = time.monotonic()
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        if progress.ran_out:
            raise Refused(
                f"{chosen.title} did not finish within {time_limit:g} s",
                "Give it more time, or make the ranges in dims narrower.",
            )
        raise Refused(f"{chosen.title} finds no way to run it: {messages.reason()}", PORTABLE)
    if timings:
        keep_timings(config, timings)
    facts = _facts(chosen, flags, wanted, workspace_bytes, source, profiles)
    size = _write(out, memoryview(engine), facts)
    seconds = time.monotonic() - started
    sys.stderr.write(f"built in {seconds:.1f} s, {size} bytes\n")
    return Made(how=_how(chosen, len(profiles)), details=facts.as_data())


def _check_inputs(network: Any, profiles: Sequence[OptimisationProfile]) -> None:
    if not profiles:
        raise InputError("a TensorRT engine needs an optimisation profile", "Give one or more.")
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    for profile in profiles:
        for tensor in tensors:
            bounds = profile.shapes.get(tensor.name)
            if bounds is None:
                raise InputError(
                    f"the TensorRT profile has no shapes for input {tensor.name!r}; it has "
                    f"{', '.join(profile.shapes)}",
                    "Name every input of the ONNX file.",
                )
            shape = tuple(tensor.shape)
            fits = len(shape) == len(bounds.min) and all(
                size < 0 or size == low == high
                for size, low, high in zip(shape, bounds.min, bounds.max, strict=True)
            )
            if not fits:
                raise InputError(
                    f"the TensorRT profile of input {tensor.name!r} is {bounds}, but the ONNX "
                    f"file has {list(shape)}",
                    "Give sizes for the axes that are -1, and the file's own for the others.",
                )


def _add_profile(
    builder: Any, config: Any, profile: OptimisationProfile, messages: Messages
) -> None:
    given = builder.create_optimization_profile()
    for name, bounds in profile.shapes.items():
        given.set_shape(name, bounds.min, bounds.opt, bounds.max)
    if config.add_optimization_profile(given) < 0:
        raise InputError(
            f"TensorRT refuses the profile {profile.as_data()}: {messages.reason()}",
            "Look at dims in the model.yaml.",
        )


def _set_compatibility(flavour: Flavour, config: Any, wanted: Compatibility) -> list[str]:
    """Set what this version has; the flags that are set then, by name."""
    library = flavour.library
    if wanted.versions:
        flag = getattr(library.BuilderFlag, "VERSION_COMPATIBLE", None)
        if flag is None or flavour.name == "tensorrt_rtx":
            raise Refused(
                f"{flavour.title} builds for its own version alone",
                "Leave version compatibility out, and build again with each version.",
            )
        config.set_flag(flag)
    if wanted.hardware != "none" and flavour.name == "tensorrt":
        level = getattr(library.HardwareCompatibilityLevel, wanted.hardware.upper(), None)
        if level is None:
            raise Refused(
                f"{flavour.title} has no hardware compatibility {wanted.hardware!r}",
                "Leave it out, or use a newer TensorRT.",
            )
        config.hardware_compatibility_level = level
    members = library.BuilderFlag.__members__
    return sorted(name for name, flag in members.items() if config.get_flag(flag))


def _facts(
    flavour: Flavour,
    flags: Sequence[str],
    wanted: Compatibility,
    workspace_bytes: int,
    source: Path,
    profiles: Sequence[OptimisationProfile],
) -> EngineFacts:
    gpu = flavour.gpu
    return EngineFacts(
        flavour=flavour.name,
        version=flavour.version,
        requirement=flavour.requirement,
        compute_capability=gpu.compute_capability if gpu else "",
        gpu=gpu.name if gpu else "",
        driver=gpu.driver if gpu else "",
        cuda=gpu.cuda if gpu else "",
        flags=tuple(flags),
        hardware_compatibility=wanted.hardware if flavour.name == "tensorrt" else "none",
        workspace_bytes=workspace_bytes,
        onnx_sha256=sha256_of_file(source),
        profiles=tuple(profile.as_data() for profile in profiles),
    )


def _write(out: Path, engine: memoryview, facts: EngineFacts) -> int:
    text = json.dumps(facts.as_data(), indent=1) + "\n"
    with host_errors(
        f"no engine of {engine.nbytes / 1e6:.1f} MB could be written to {out}",
        "Make the folder writable.",
    ):
        try:
            (out / PLAN).write_bytes(engine)
            (out / FACTS_FILE).write_text(text, encoding="utf-8")
        except OSError:
            for name in (PLAN, FACTS_FILE):  # half an engine is worse than none
                (out / name).unlink(missing_ok=True)
            raise
    return engine.nbytes


def _how(flavour: Flavour, profiles: int) -> str:
    # TensorRT-RTX leaves the last compilation to the machine that runs.
    tied = flavour.gpu if flavour.name == "tensorrt" else None
    where = tied.name if tied else "any GPU of compute capability 8.0 and later"
    count = "one profile" if profiles == 1 else f"{profiles} profiles"
    return f"{flavour.title}, for {where}, {count}"
