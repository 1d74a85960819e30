"""A Triton repository goes in; everything that is wrong with it comes out, with remedies.

Checks what Triton would refuse at load, and what it would serve although it should not: files
that are not those that were proven, settings edited by hand, a spec that moved on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nosbuild.errors import RepositoryError, SpecError
from nosbuild.repository.config import read_config, write_text
from nosbuild.repository.ensemble_check import ensemble_changes
from nosbuild.repository.layout import (
    LOCK,
    REFUSED,
    STAGING_PREFIX,
    WARMUP,
    ModelFolder,
    known_models,
)
from nosbuild.repository.lock import Lock, read_lock, spec_digest
from nosbuild.repository.placed import without_placement
from nosbuild.repository.proven import differences, engine_refusal
from nosbuild.repository.python_check import python_changes
from nosbuild.repository.python_config import PYTHON
from nosbuild.repository.refused import refusal_of
from nosbuild.repository.served import (
    accepted_versions,
    alike_versions,
    built_versions,
    served_versions,
    versions_in_config,
)
from nosbuild.store.hashing import sha256_of_value

_MODEL_FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan", "python": "model.py"}
"""Backend -> the file it looks for unless the config names one (Triton's model_repository.md)."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a repository."""

    model: str
    file: Path
    severity: Literal["error", "warning"]
    """An error keeps the model from being served, or from being served as proven."""
    message: str
    remedy: str


def check_repository(repository: Path) -> list[Finding]:
    """Look at every model of the repository.

    Raises:
        RepositoryError: there is no such folder, or no model in it.
    """
    folders = known_models(repository)
    names = {folder.name for folder in folders}
    return [finding for folder in folders for finding in check_model(folder, names)]


def check_model(folder: ModelFolder, models: set[str], *, here: bool = False) -> list[Finding]:
    """Look at one model.

    Args:
        folder: of the model.
        models: the names that an ensemble may call.
        here: it is to be served on this machine, so that what only this machine lacks counts.
    """
    return list(_Check(folder, models, here).findings())


@dataclass(frozen=True)
class _Check:
    folder: ModelFolder
    models: set[str]
    here: bool

    def findings(self) -> Iterator[Finding]:
        yield from self._leftovers()
        if not self.folder.is_built:
            yield self._warning(
                self.folder.config, "not built yet", f"nosbuild build {self.folder.path}"
            )
            yield from self._spec_alone()
            return
        try:
            config = read_config(self.folder.config)
        except RepositoryError as exc:
            yield self._error(self.folder.config, exc.message, exc.remedy)
            return
        yield from self._name(config)
        yield from self._tensors(config)
        yield from self._batching(config)
        yield from self._warmup(config)
        yield from self._backend(config)
        yield from self._versions(config)

    def _error(self, file: Path, message: str, remedy: str) -> Finding:
        return Finding(self.folder.name, file, "error", message, remedy)

    def _warning(self, file: Path, message: str, remedy: str) -> Finding:
        return Finding(self.folder.name, file, "warning", message, remedy)

    @property
    def _rebuild(self) -> str:
        # A further method of a class is built with the first one: <model>.<method>.
        first = self.folder.path.with_name(self.folder.name.rpartition(".")[0] or self.folder.name)
        of_class = not self.folder.has_spec and ModelFolder(first).has_spec
        return f"nosbuild build {first if of_class else self.folder.path}"

    def _leftovers(self) -> Iterator[Finding]:
        for path in self.folder.path.glob(f"{STAGING_PREFIX}*"):
            yield self._warning(
                path, "left by a build that was killed (or is running)", self._rebuild
            )

    def _spec_alone(self) -> Iterator[Finding]:
        from nosbuild.spec import load_spec

        try:
            load_spec(self.folder.path)
        except SpecError as exc:
            for problem in exc.problems:
                yield self._error(
                    Path(exc.file),
                    f"line {problem.line}: {problem.key}: {problem.found}",
                    problem.remedy,
                )

    def _name(self, config: Any) -> Iterator[Finding]:
        if config.name and config.name != self.folder.name:
            yield self._error(
                self.folder.config,
                f"name is {config.name!r}, but Triton demands the folder's name",
                f'Write name: "{self.folder.name}", or rename the folder.',
            )

    def _tensors(self, config: Any) -> Iterator[Finding]:
        for section, tensors in (("input", config.input), ("output", config.output)):
            seen: set[str] = set()
            for tensor in tensors:
                where = f"{section} {tensor.name!r}"
                if tensor.name in seen:
                    yield self._error(
                        self.folder.config, f"{where} stands twice", "Remove one of them."
                    )
                seen.add(tensor.name)
                if not tensor.data_type:
                    yield self._error(
                        self.folder.config, f"{where} has no data_type", "Write e.g. TYPE_FP32."
                    )
                if not tensor.dims:
                    yield self._error(
                        self.folder.config,
                        f"{where} has no dims",
                        "For a scalar write dims: [ 1 ] and reshape: { shape: [ ] }.",
                    )
                if any(dim == 0 or dim < -1 for dim in tensor.dims):
                    yield self._error(
                        self.folder.config,
                        f"{where} has dims {list(tensor.dims)}",
                        "Write positive sizes, or -1 for an axis that varies; the batch axis is "
                        "not written where max_batch_size is above 0.",
                    )

    def _batching(self, config: Any) -> Iterator[Finding]:
        if not config.HasField("dynamic_batching"):
            return
        if config.max_batch_size == 0:
            yield self._error(
                self.folder.config,
                "dynamic_batching without max_batch_size",
                "Set max_batch_size, or remove dynamic_batching.",
            )
        for size in config.dynamic_batching.preferred_batch_size:
            if size > config.max_batch_size > 0:
                yield self._error(
                    self.folder.config,
                    f"preferred_batch_size {size} is above max_batch_size {config.max_batch_size}",
                    "Lower it, or raise max_batch_size (dims: batch in the model.yaml).",
                )

    def _warmup(self, config: Any) -> Iterator[Finding]:
        for warmup in config.model_warmup:
            for name, tensor in warmup.inputs.items():
                file = self.folder.path / WARMUP / tensor.input_data_file
                if tensor.input_data_file and not file.is_file():
                    yield self._error(file, f"warm-up data of {name} is missing", self._rebuild)

    def _backend(self, config: Any) -> Iterator[Finding]:
        if config.platform == "ensemble":
            for change in ensemble_changes(self.folder, config, self.models):
                tell = self._error if change.serious else self._warning
                yield tell(self.folder.config, change.message, change.remedy or self._rebuild)
        elif not config.backend and not config.platform:
            yield self._error(
                self.folder.config,
                "names no backend",
                f'Write backend: "onnxruntime" (or {", ".join(_MODEL_FILES)}).',
            )

    def _versions(self, config: Any) -> Iterator[Finding]:
        existing = self.folder.versions()
        if not existing:
            yield self._error(self.folder.path, "has no version folder (1, 2, ...)", self._rebuild)
            return
        files = list(_model_files(config))
        wanted = versions_in_config(config, existing)
        for version in wanted:
            if version not in existing:
                yield self._error(
                    self.folder.config,
                    f"serves version {version}, which is not there",
                    f"There are {', '.join(map(str, existing))}. {self._rebuild}",
                )
                continue
            for file in files:
                path = self.folder.version(version) / file
                if not path.exists():
                    yield self._error(path, "the model file is missing", self._rebuild)
            for found in differences(
                self.folder.version(version), files, config.backend or config.platform
            ):
                yield self._error(found.file, found.message, found.remedy or self._rebuild)
            if reason := engine_refusal(self.folder.version(version)):
                yield self._engine(self.folder.version(version), reason)
        yield from self._refused(wanted)
        if built := accepted_versions(self.folder):
            yield from self._newest(config, self.folder.version(built[-1]) / LOCK, built, wanted)

    def _refused(self, served: list[int]) -> Iterator[Finding]:
        """What a running server refused and is served all the same, or was the newest."""
        for version in sorted({*served, max(built_versions(self.folder), default=0)}):
            if reason := refusal_of(self.folder, version):
                tell = self._error if version in served else self._warning
                yield tell(
                    self.folder.version(version) / REFUSED,
                    f"a running server refused version {version}: {reason}",
                    f"Change what is wrong, then {self._rebuild}; or remove that file first.",
                )

    def _engine(self, version: Path, reason: str) -> Finding:
        """Wrong for this machine, but maybe not for the one that the repository is made for."""
        tell = self._error if self.here else self._warning
        return tell(
            version,
            f"cannot be served on this machine: {reason}",
            f"Serve it where the engine fits, or build for this machine: {self._rebuild}",
        )

    def _newest(
        self, config: Any, path: Path, built: list[int], served: list[int]
    ) -> Iterator[Finding]:
        """The newest version tells what config.pbtxt and model.yaml said when it was built."""
        try:
            lock = read_lock(path)
        except RepositoryError as exc:
            if built[-1] not in served:  # otherwise said already
                yield self._warning(path, exc.message, exc.remedy)
            return
        yield from self._settings(config, lock)
        if lock.backend == PYTHON:
            for change in python_changes(self.folder, lock, self.models):
                tell = self._error if change.serious else self._warning
                yield tell(self.folder.config, change.message, change.remedy or self._rebuild)
        yield from self._spec(lock, built, served)

    def _settings(self, config: Any, lock: Lock) -> Iterator[Finding]:
        unversioned = without_placement(config)
        del unversioned.version_policy.specific.versions[:]
        unversioned.version_policy.specific.SetInParent()
        if sha256_of_value(write_text(unversioned)) != lock.config_sha256:
            yield self._warning(
                self.folder.config,
                f"is not what version {lock.version} was built with; the next build overwrites it",
                "Make a change of yours in model.yaml (raw: takes any field), then build.",
            )

    def _spec(self, lock: Lock, built: list[int], served: list[int]) -> Iterator[Finding]:
        from nosbuild.spec import load_spec

        if not self.folder.has_spec:
            return
        try:
            spec = load_spec(self.folder.path)
            wanted = served_versions(spec, alike_versions(self.folder, lock.interface))
        except SpecError as exc:
            yield self._warning(Path(exc.file), exc.message, "What is published still serves.")
            return
        if spec_digest(spec) != lock.spec_digest:
            yield self._warning(spec.file, "says something else than what was built", self._rebuild)
        elif wanted != sorted(served):
            named = ", ".join(map(str, wanted))
            yield self._warning(
                spec.file, f"version_policy means {named}, config.pbtxt differs", self._rebuild
            )


def _model_files(config: Any) -> Iterator[str]:
    """The files of a version folder that Triton loads, by the config; none where it cannot tell."""
    file = config.default_model_filename or _MODEL_FILES.get(config.backend, "")
    yield from {name: None for name in (file, *config.cc_model_filenames.values()) if name}
