"""A repository goes in; every served version with its golden samples and its bars comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from nosbuild.errors import RepositoryError
from nosbuild.prove.sequences import SequenceSamples, sequence_samples
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import GOLDEN, LOCK, ModelFolder
from nosbuild.repository.lock import read_lock, spec_digest
from nosbuild.repository.served import versions_in_config
from nosbuild.spec import load_spec
from nosbuild.spec.padding import PadValue, padded_outputs
from nosbuild.spec.quality import Quality, output_findings, parse_quality
from nosbuild.tensors import BATCH, Dim, TensorSpec, dtype_from_numpy
from nosbuild.verify.golden import Arrays, GoldenSample, read_golden

if TYPE_CHECKING:
    from nosbuild.repository.lock import Lock
    from nosbuild.spec import ModelSpec


@dataclass(frozen=True)
class Bars:
    """What the answers are judged by."""

    folder: Path
    """Where the paths of metrics start."""
    quality: Quality


@dataclass(frozen=True)
class PublishedVersion:
    """What is needed to replay one version and to judge its answers."""

    name: str
    version: int
    variant: str
    samples: tuple[GoldenSample, ...]
    """As clients send them: without states."""
    sequences: tuple[tuple[int, ...], ...]
    """Indices of samples, each tuple one sequence in its order; none of a model without."""
    bars: Bars
    outputs: tuple[TensorSpec, ...]
    proven_samples: int
    """On how many samples the build proved it; the golden ones are some of them."""
    max_batch_size: int
    """0 where the first axis is no batch axis."""
    streams: bool
    """A request has any number of answers."""
    joins: bool
    """Whether Triton joins requests into batches."""
    queue_size: int
    """Requests that may wait; 0 for no limit."""
    notes: tuple[str, ...]
    pad: Mapping[str, PadValue] = field(default_factory=dict)
    """Output -> what its rows are filled up with to the longest of a batch."""


def published_versions(
    folder: ModelFolder, specs: Mapping[str, ModelSpec]
) -> list[PublishedVersion]:
    """Every version that the config.pbtxt serves and a build made, ascending; none of one made
    by hand.

    Args:
        folder: of a model with a config.pbtxt.
        specs: model -> spec with its bars; of others the model.yaml in their folder counts, or
            what the lock tells of it.

    Raises:
        RepositoryError: a broken lock or config, no golden samples, bars that are not known or
            are for outputs that are not there.
        SpecError: a broken model.yaml.
    """
    config = read_config(folder.config)
    served = versions_in_config(config, folder.versions())
    built = [version for version in served if (folder.version(version) / LOCK).is_file()]
    if not built:
        return []
    spec = specs.get(folder.name) or _spec(folder, built[-1])
    return [_published(folder, version, config, spec) for version in built]


def _spec(folder: ModelFolder, version: int) -> ModelSpec | None:
    """The model.yaml of the model; for a further method of a class that of the first one."""
    said = read_lock(folder.version(version) / LOCK).details.get("method_of", folder.name)
    home = ModelFolder(folder.path.parent / said)
    return load_spec(home.path) if home.has_spec else None


def _published(
    folder: ModelFolder, version: int, config: Any, spec: ModelSpec | None
) -> PublishedVersion:
    lock = read_lock(folder.version(version) / LOCK)
    stored = _samples(folder, version)
    replayed = _replayed(folder, version, config, stored, lock)
    samples = replayed.samples
    outputs = tuple(_outputs(folder, config, _an_answer(samples)))
    bars = Bars(spec.folder, spec.quality) if spec else _bars_of(folder, lock)
    answer = _an_answer(stored)
    dtypes = {name: dtype_from_numpy(array.dtype) for name, array in answer.items()}
    several = len((lock.spec or {}).get("methods") or ()) > 1  # each has outputs of its own
    for finding in output_findings(bars.quality, dtypes, complete=not several):
        where = spec.file if spec else folder.version(version) / LOCK
        raise RepositoryError(
            f"{where}: {'.'.join(map(str, finding.key))}: {finding.found}", finding.remedy
        )
    return PublishedVersion(
        name=folder.name,
        version=version,
        variant=lock.variant,
        samples=samples,
        sequences=replayed.sequences,
        bars=bars,
        outputs=outputs,
        proven_samples=int(lock.proof.get("samples", len(samples))),
        max_batch_size=config.max_batch_size,
        streams=config.model_transaction_policy.decoupled,
        joins=config.max_batch_size > 1
        and (config.HasField("dynamic_batching") or bool(replayed.sequences)),
        queue_size=config.dynamic_batching.default_queue_policy.max_queue_size,
        notes=(*_notes(spec, lock), *_sequence_notes(replayed)),
        pad=padded_outputs(lock.details.get("pad", {}), outputs),
    )


def _samples(folder: ModelFolder, version: int) -> list[GoldenSample]:
    golden = folder.version(version) / GOLDEN
    try:
        samples = read_golden(golden)
    except (OSError, ValueError, BadZipFile) as exc:
        raise RepositoryError(
            f"{golden} cannot be read: {exc}", f"nosbuild build {folder.path}"
        ) from exc
    if not samples:
        raise RepositoryError(f"{golden} holds no golden sample", f"nosbuild build {folder.path}")
    return samples


def _replayed(
    folder: ModelFolder, version: int, config: Any, samples: list[GoldenSample], lock: Lock
) -> SequenceSamples:
    if not config.HasField("sequence_batching"):
        return SequenceSamples(tuple(samples), (), 0)
    built = lock.spec.get("state", {}) if lock.spec else None
    found = sequence_samples(config, samples, built)
    if not found.samples:
        raise RepositoryError(
            f"{folder.version(version) / GOLDEN} holds no sequence that begins with the initial "
            f"states of {folder.config}: states cannot be sent",
            f"nosbuild build {folder.path}",
        )
    return found


def _bars_of(folder: ModelFolder, lock: Lock) -> Bars:
    """Those of the build, where there is no model.yaml beside what it published."""
    if lock.spec is None:
        raise RepositoryError(
            f"{folder.path} has no model.yaml, and its {LOCK} does not tell the bars",
            "Put the model.yaml that it was built from there, or build it again.",
        )
    quality = parse_quality(lock.spec["quality"], folder.path)
    if isinstance(quality, list):
        (finding, *_) = quality
        raise RepositoryError(
            f"{folder.path}: quality: {finding.key[-1]}: {finding.found}",
            "Put the model.yaml that it was built from there, with the code that it names.",
        )
    return Bars(folder.path, quality)


def _an_answer(samples: Sequence[GoldenSample]) -> Arrays:
    """One that tells the outputs; none of streams that are all empty."""
    chunks = (chunk for sample in samples for chunk in sample.chunks or ())
    return samples[0].outputs if samples[0].chunks is None else next(chunks, {})


def _outputs(folder: ModelFolder, config: Any, sample: Arrays) -> Iterator[TensorSpec]:
    """The outputs that the source answered; axes that vary get names of their own."""
    declared = {output.name: output for output in config.output}
    batch: Sequence[Dim] = (BATCH,) if config.max_batch_size else ()
    for name, answer in sample.items():
        if name not in declared:
            raise RepositoryError(
                f"{folder.config} declares no output {name!r}, which the golden samples hold",
                f"nosbuild build {folder.path}",
            )
        row = declared[name]
        dims: list[Dim] = [
            f"{name}_{axis}" if size < 0 else int(size) for axis, size in enumerate(row.dims)
        ]
        if answer.ndim == 0:
            dims = []  # Triton has no scalars: they are declared as [1]
        yield TensorSpec(name, dtype_from_numpy(answer.dtype), (*batch, *dims))


def _sequence_notes(found: SequenceSamples) -> Iterator[str]:
    if found.sequences:
        yield (
            f"its golden samples were sent as {len(found.sequences)} sequences, each from its "
            "first request on"
        )
    if found.left_out:
        yield f"{found.left_out} golden samples belong to no such sequence and were left out"


def _notes(spec: ModelSpec | None, lock: Lock) -> Iterator[str]:
    if spec is None:
        yield "there is no model.yaml; the bars of the build are applied"
    elif spec_digest(spec) != lock.spec_digest:
        yield "model.yaml says something else than what was built; its bars of now are applied"
