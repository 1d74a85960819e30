"""Built models and what is wanted of them go in; what their instances need comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Literal

from nosbuild.errors import RepositoryError
from nosbuild.placement.rates import Rates, Wanted
from nosbuild.report.published_speed import published_speed
from nosbuild.report.units import percent, significant
from nosbuild.repository.calls import newest_served
from nosbuild.repository.config import read_config
from nosbuild.repository.instance_memory import (
    configured_instances,
    estimated_bytes,
    measured_bytes,
)
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.repository.placed import without_placement
from nosbuild.repository.served import versions_in_config

BytesFrom = Literal["measured", "estimated", "given"]
"""By the build; from the files' sizes; by rates.yaml."""
_INSTANCES = {"python": 1}
_OTHER_INSTANCES = 2
"""Triton's number on the CPU where config.pbtxt has none; a GPU gets one."""


@dataclass(frozen=True)
class Need:
    """What one model needs."""

    model: str
    on_gpu: bool
    why_host: str
    """Why its place is the host; empty where it is a GPU."""
    instances: int
    why_instances: str
    configured: int
    """Instances as config.pbtxt has them."""
    bytes_each: int
    """Of one instance, in the GPU's or the host's memory."""
    bytes_from: BytesFrom
    time_each: Fraction = Fraction(0)
    """What one instance takes of a GPU's time at the rate that is wanted; 0 where none is."""

    @property
    def bytes(self) -> int:
        """Of all its instances."""
        return self.instances * self.bytes_each


def needs_of(
    repository: Path, names: Iterable[str], rates: Rates, utilisation: Fraction
) -> list[Need]:
    """What each model needs; an ensemble needs nothing but its parts.

    Args:
        repository: Triton's model repository.
        names: built models, with all that they call.
        rates: what is wanted of them.
        utilisation: share of its throughput that an instance is to be used at most.

    Raises:
        RepositoryError: a config.pbtxt that cannot be read, or instances that cannot be placed.
        SpecError: what is wanted cannot be turned into instances.
    """
    configs = {name: read_config(repository / name / "config.pbtxt") for name in names}
    passed_on = _passed_on(configs, rates)
    return [
        _need(ModelFolder(repository / name), config, rates, passed_on.get(name), utilisation)
        for name, config in configs.items()
        if not _is_ensemble(config)
    ]


def _is_ensemble(config: Any) -> bool:
    return bool(config.platform == "ensemble" or config.HasField("ensemble_scheduling"))


def _passed_on(configs: dict[str, Any], rates: Rates) -> dict[str, Fraction]:
    """Model -> the rate that ensembles ask of it: each step is one request."""
    found: dict[str, Fraction] = {}

    def ask(name: str, rate: Fraction, asked_by: Sequence[str]) -> None:
        for step in configs[name].ensemble_scheduling.step:
            part = step.model_name
            if part in configs and part not in asked_by:
                found[part] = found.get(part, Fraction(0)) + rate
                ask(part, rate, (*asked_by, part))

    for name, config in configs.items():
        wanted = rates.models.get(name)
        if not _is_ensemble(config) or wanted is None:
            continue
        for key in ("throughput", "instances", "memory"):
            if getattr(wanted, key) is not None:
                raise rates.error(
                    (name, key),
                    "is said of an ensemble, which has no instances of its own",
                    "write it for its parts: "
                    + ", ".join(step.model_name for step in config.ensemble_scheduling.step),
                )
        if wanted.rate is not None:
            ask(name, wanted.rate, (name,))
    return found


def _need(
    folder: ModelFolder,
    config: Any,
    rates: Rates,
    passed_on: Fraction | None,
    utilisation: Fraction,
) -> Need:
    wanted = rates.models.get(folder.name, Wanted())
    on_gpu, why_host = _place(folder, config)
    size, size_from = _bytes(folder, config, on_gpu)
    if wanted.memory is not None:
        size, size_from = wanted.memory, "given"
    rate = wanted.rate
    if passed_on is not None and wanted.instances is None:
        rate = (rate or Fraction(0)) + passed_on
    configured = instances = _instances(config, on_gpu)
    why, time = "config.pbtxt", Fraction(0)
    if rate is not None:
        each, whole = _throughput(folder, config, wanted, rates)
        instances = ceil(rate / (each * utilisation))
        why = f"{significant(float(rate))} items/s, one does {significant(float(each))}"
        if utilisation != 1:
            why += f", in use to {percent(float(utilisation))}"
        if on_gpu:
            time = min(rate / instances / whole, utilisation)
    elif wanted.instances is not None:
        instances, why = wanted.instances, "as wanted"
    return Need(
        model=folder.name,
        on_gpu=on_gpu,
        why_host=why_host,
        instances=instances,
        why_instances=why,
        configured=configured,
        bytes_each=size,
        bytes_from=size_from,
        time_each=time,
    )


def _place(folder: ModelFolder, config: Any) -> tuple[bool, str]:
    """Whether its instances run on GPUs, and why not."""
    groups = config.instance_group
    kinds = {group.kind for group in groups}
    if not groups or kinds == {groups[0].KIND_AUTO}:
        if config.backend == "python":
            return False, "Triton puts a Python model that says nothing on the CPU"
        return True, ""
    if kinds == {groups[0].KIND_GPU}:
        _require_one_setting(folder, config)
        return True, ""
    if kinds == {groups[0].KIND_CPU}:
        return False, _built_for_cpu(folder, config)
    if kinds == {groups[0].KIND_MODEL}:
        found, remedy = (
            "KIND_MODEL: the model itself chooses its devices",
            "Leave it out: --models.",
        )
    else:
        found, remedy = "instances of several kinds", "Write one kind, or leave it out: --models."
    raise RepositoryError(f"{folder.config} has {found}; such cannot be placed", remedy)


def _require_one_setting(folder: ModelFolder, config: Any) -> None:
    """Groups may differ in where and how many they are, and in nothing else."""
    seen = set()
    for group in without_placement(config).instance_group:
        for field in ("name", "count", "gpus"):
            group.ClearField(field)
        seen.add(group.SerializeToString(deterministic=True))
    if len(seen) > 1:
        raise RepositoryError(
            f"{folder.config} has instance groups of different settings; such cannot be placed",
            "Write one group, or leave the model out: --models.",
        )


def _built_for_cpu(folder: ModelFolder, config: Any) -> str:
    try:
        lock = read_lock(folder.version(newest_served(folder, config)) / LOCK)
    except RepositoryError:
        return "KIND_CPU in config.pbtxt"
    return f"built for the CPU ({lock.variant})"


def _bytes(folder: ModelFolder, config: Any, on_gpu: bool) -> tuple[int, BytesFrom]:
    """Of one instance of each version that is served."""
    versions = [folder.version(one) for one in versions_in_config(config, folder.versions())]
    measured = [measured_bytes(version, on_gpu=on_gpu) for version in versions]
    sizes = [
        size if size is not None else estimated_bytes(version, config.backend)
        for version, size in zip(versions, measured, strict=True)
    ]
    return sum(sizes), "estimated" if None in measured else "measured"


def _instances(config: Any, on_gpu: bool) -> int:
    by_default = 1 if on_gpu else _INSTANCES.get(config.backend, _OTHER_INSTANCES)
    return configured_instances(config) or by_default


def _throughput(
    folder: ModelFolder, config: Any, wanted: Wanted, rates: Rates
) -> tuple[Fraction, Fraction]:
    """Items a second of one instance, and of as many as were measured side by side."""
    if wanted.throughput is not None:
        return wanted.throughput, wanted.throughput
    speed = published_speed(folder.version(newest_served(folder, config)))
    why = speed if isinstance(speed, str) else "its build measured none"
    chosen = None if isinstance(speed, str) else speed.chosen
    if chosen is None:
        raise rates.error(
            (folder.name,),
            f"a rate is wanted, but the throughput of an instance is not known: {why}",
            f"write {folder.name}: {{rate: 400, throughput: 120}} as you measured it "
            f"(nosbuild bench), or {folder.name}: {{instances: 2}}",
        )
    whole = Fraction(str(chosen.items_per_second))
    return whole / chosen.instances, whole
