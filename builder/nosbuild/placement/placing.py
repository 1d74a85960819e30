"""A repository, GPUs and rates go in; a Placement comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

from nosbuild.errors import InputError, RepositoryError
from nosbuild.placement.gpu_list import GpuSize, parse_gpus
from nosbuild.placement.missing import Missing, what_is_missing
from nosbuild.placement.needs import Need, needs_of
from nosbuild.placement.pack import pack
from nosbuild.placement.packing import BILLION, Counts, Item, Problem
from nosbuild.placement.placement import LeftOut, PlacedGpu, Placement
from nosbuild.placement.rates import NONE, Rates, rates_of, read_rates
from nosbuild.report.units import counted, gibibytes
from nosbuild.repository.calls import called_by, with_called
from nosbuild.repository.layout import known_models
from nosbuild.spec.problems import did_you_mean, listed
from nosbuild.store.limit import parse_size

RESERVE = "1GiB"
"""Of each GPU: CUDA's own in every process, and what frameworks keep."""
UTILISATION = "0.7"
"""Above it a queue grows much longer than the work in it."""

_MOST_INSTANCES = 4096


def place(
    repository: Path | str,
    gpus: str,
    *,
    models: Iterable[str] | str | None = None,
    rates: Path | str | Mapping[str, Any] | None = None,
    reserve: str | int = RESERVE,
    memory: str | int | None = None,
    utilisation: str | float | Fraction = UTILISATION,
    solver: bool = True,
) -> Placement:
    """Find which instances of which models run on which GPUs: on the fewest, then balanced.

    Args:
        repository: Triton's model repository; what is not built in it is left out.
        gpus: ``80GiB``, ``4x80GiB``, ``2x80GiB,1x24GiB``; ``here`` for this machine's.
        models: only these (names, or ``a,b``), and what they call; None for all.
        rates: items a second that are wanted of models, as a mapping or a ``rates.yaml``; a model
            that it does not name has as many instances as its config.pbtxt says.
        reserve: of each GPU, kept free of models; a size, or bytes.
        memory: of the host, for models that no GPU is for; None: they are listed only.
        utilisation: share of its throughput that an instance, and of its time that a GPU, is to be
            used at most.
        solver: let OR-tools' CP-SAT search where it is installed.

    Raises:
        InputError: no such GPUs, sizes or models.
        RepositoryError: models that cannot be read, or not be placed.
        SpecError: of the rates; file, line, key and remedy.
        HostError: ``here`` has no GPU.
    """
    folder = Path(repository)
    cards = parse_gpus(gpus)
    kept = _reserved(reserve, cards)
    share = _share(utilisation)
    if isinstance(models, str):
        models = [name.strip() for name in models.split(",")]
    host = None if memory is None else _size("--memory", memory)
    wanted = _rates(rates)
    names, notes = _names(folder, models, wanted)
    needs = needs_of(folder, names, wanted, share)
    _require_so_few(needs)
    return _placement(folder, cards, kept, needs, share, host, notes, solver)


def _placement(
    repository: Path,
    cards: Sequence[GpuSize],
    kept: int,
    needs: Sequence[Need],
    share: Fraction,
    host: int | None,
    notes: Sequence[str],
    solver: bool,
) -> Placement:
    problem = Problem(
        tuple(_item(need) for need in needs if need.on_gpu),
        tuple(card.size - kept for card in cards),
        floor(share * BILLION),
    )
    packed = pack(problem, solver=solver)
    missing = Missing()
    left_out: list[LeftOut] = []
    exact = packed.is_proven
    if packed.counts is None:
        missing = what_is_missing(problem, proven=packed.at_least > len(cards))
        exact = packed.at_least > len(cards)
        left_out = [
            LeftOut(item.name, item.count, item.size)
            for item in problem.items
            if item.name in missing.left_out
        ]
        rest = tuple(item for item in problem.items if item.name not in missing.left_out)
        packed = pack(Problem(rest, problem.sizes, problem.time), solver=solver)
    placement = Placement(
        repository=repository,
        gpus=tuple(_gpus(cards, kept, needs, packed.counts or {})),
        needs=tuple(needs),
        left_out=tuple(left_out),
        by=packed.by,
        at_least=packed.at_least,
        is_exact=exact,
        utilisation=share,
        host_bytes=host,
        missing=missing.sentences,
        advice=missing.advice,
        would_do=missing.would_do,
        notes=(*notes, *_notes(repository, needs, left_out)),
    )
    return _with_host(placement)


def _notes(repository: Path, needs: Sequence[Need], left_out: Sequence[LeftOut]) -> Iterator[str]:
    """What does not follow from the tables."""
    for need in needs:
        if not need.on_gpu and need.instances != need.configured:
            yield (
                f"{need.model} is for the host, of which nothing is written: for "
                f"{counted(need.instances, 'instance')} build it with instances: {need.instances}"
            )
    out = {one.model for one in left_out}
    for folder in known_models(repository):
        if called := out.intersection(called_by(folder)):
            yield f"{folder.name} calls {listed(sorted(called))}, and is of no use without"


def _item(need: Need) -> Item:
    """Its time in billionths, rounded up: never less than it takes."""
    return Item(need.model, need.instances, need.bytes_each, ceil(need.time_each * BILLION))


def _gpus(
    cards: Sequence[GpuSize], kept: int, needs: Sequence[Need], counts: Counts
) -> Iterable[PlacedGpu]:
    by_name = {need.model: need for need in needs}
    for position, card in enumerate(cards):
        there = counts.get(position, {})
        yield PlacedGpu(
            index=card.index,
            size_bytes=card.size,
            reserved_bytes=kept,
            used_bytes=sum(by_name[name].bytes_each * count for name, count in there.items()),
            instances=there,
            time=sum(
                (by_name[name].time_each * count for name, count in there.items()), Fraction(0)
            ),
        )


def _with_host(placement: Placement) -> Placement:
    if placement.host_bytes is None:
        return placement
    over = placement.host_used_bytes - placement.host_bytes
    if over <= 0:
        return placement
    names = listed([need.model for need in placement.host])
    said = (
        f"the host has {gibibytes(over)} too little for {names}: "
        f"{gibibytes(placement.host_used_bytes)} of {gibibytes(placement.host_bytes)} (--memory)"
    )
    return replace(placement, missing=(*placement.missing, said))


def _names(
    repository: Path, models: Iterable[str] | None, rates: Rates
) -> tuple[list[str], list[str]]:
    """The models to place, and what is to be said of the others."""
    folders = known_models(repository)
    built = [folder.name for folder in folders if folder.is_built]
    asked = list(built if models is None else models)
    for name in asked:
        if name not in built:
            raise _not_built(repository, name, built, {folder.name for folder in folders})
    names = with_called(repository, asked)
    for name in names:
        if name not in built:
            callers = "called by one of " + ", ".join(asked)
            raise RepositoryError(
                f"{repository / name} is not built, and {callers}", "nosbuild build"
            )
    for name in rates.models:
        if name not in built:
            remedy = did_you_mean(name, built, f"built are: {', '.join(built)}")
            raise rates.error((name,), f"there is no such model built in {repository}", remedy)
    notes = []
    unbuilt = [folder.name for folder in folders if not folder.is_built]
    if models is None and unbuilt:
        notes.append(f"not built, and not counted: {listed(unbuilt)}")
    if others := [name for name in built if name not in names]:
        notes.append(f"not counted, since --models leaves them out: {listed(others)}")
    return names, notes


def _not_built(
    repository: Path, name: str, built: Sequence[str], known: set[str]
) -> RepositoryError:
    if name in known:
        return RepositoryError(f"{name} is not built", f"nosbuild build {repository / name}")
    otherwise = f"Built are: {', '.join(built) or 'none'}."
    remedy = did_you_mean(name, built, otherwise)
    return RepositoryError(f"{repository} has no model {name!r}", remedy)


def _rates(rates: Path | str | Mapping[str, Any] | None) -> Rates:
    if rates is None:
        return NONE
    return rates_of(rates) if isinstance(rates, Mapping) else read_rates(Path(rates))


def _require_so_few(needs: Sequence[Need]) -> None:
    instances = sum(need.instances for need in needs if need.on_gpu)
    if instances > _MOST_INSTANCES:
        most = max((need for need in needs if need.on_gpu), key=lambda need: need.instances)
        raise InputError(
            f"{instances:,} instances on GPUs are more than {_MOST_INSTANCES:,}, the most that are "
            f"placed; {most.model} has {most.instances:,} of them ({most.why_instances})",
            "Check its rate and throughput, or plan for one server of several alike.",
        )


def _reserved(reserve: str | int, cards: Sequence[GpuSize]) -> int:
    kept = _size("--reserve", reserve)
    for card in cards:
        if kept >= card.size:
            raise InputError(
                f"--reserve: {gibibytes(kept)} of each GPU leaves nothing of GPU {card.index}, "
                f"which has {gibibytes(card.size)}",
                "Reserve less, e.g. --reserve 500MiB.",
            )
    return kept


def _size(option: str, value: str | int) -> int:
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except InputError as exc:
        raise InputError(f"{option}: {exc.message}", exc.remedy) from exc
    if isinstance(size, bool) or size < 0:
        raise InputError(f"{option}: {value!r} is no size", "Write e.g. 4GiB.")
    return size


def _share(value: str | float | Fraction) -> Fraction:
    try:
        share = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise InputError(
            f"--utilisation: {value} is no share", "Write a number above 0, up to 1: 0.7."
        )
    return share
