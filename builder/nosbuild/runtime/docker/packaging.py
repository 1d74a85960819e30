"""Models and an image that serves go in; an image with the models inside comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nosbuild.environments.linking import is_packed
from nosbuild.environments.locked import LockedEnvironment
from nosbuild.errors import HostError, InputError, RepositoryError
from nosbuild.repository.calls import with_called
from nosbuild.repository.layout import ENVIRONMENTS, LOCK, WARMUP, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.repository.served import versions_in_config
from nosbuild.repository.unservable import unservable_models
from nosbuild.runtime.docker.container import passed_on
from nosbuild.runtime.docker.context import tar_stream
from nosbuild.runtime.docker.engine import Engine, connect_engine
from nosbuild.runtime.docker.fitting import unfit_models
from nosbuild.runtime.docker.images import FOLDER, Image, default_image, find_image, have_image
from nosbuild.runtime.docker.refusals import refusal, refusals
from nosbuild.runtime.model_environments import DETAIL
from nosbuild.runtime.servable import servable_models
from nosbuild.store.hashing import sha256_of_file, sha256_of_value
from nosbuild.version import VERSION

_TAG = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9._/-]+(?::[\w][\w.-]{0,127})?")
_SECRET = re.compile(r"://[^/@\s]+@")
_COPIED = "models"
"""Folder of the build context that becomes ``/models``."""


@dataclass(frozen=True)
class Package:
    """An image that was built."""

    tag: str
    id: str
    models: tuple[str, ...]
    size_bytes: int
    """Of all of the image, what it is made from included; 0 where the engine does not say."""
    lock: str
    """sha256 over the locks of all versions in it, as its label says."""


def package(
    repository: Path | str,
    models: Sequence[str] | None,
    *,
    tag: str,
    image: str = "",
    gpu: bool = False,
    network: str = "",
    on_progress: Callable[[str], None] | None = None,
) -> Package:
    """Builds an image that serves the models, with nothing of this machine needed any more.

    Args:
        repository: the folder that holds one folder for each model.
        models: the models, and with them those that they call; None: all that are built.
        tag: name of the new image.
        image: what it is made from; empty: nosbuild's own for this version.
        gpu: it is to be given GPUs; nosbuild's own image for GPUs is then the default.
        network: of the engine, while packages are installed: ``host``, or empty for its default.
        on_progress: told what happens, one line at a time.

    Raises:
        InputError: no name of an image.
        RepositoryError: models that are not built, not proven any more, or that the image's
            Triton cannot load.
        HostError: no engine, no image, or what the engine says of the build.
    """
    say = on_progress or _silent
    if not _TAG.fullmatch(tag):
        raise InputError(
            f"--tag: {tag!r} is no name of an image", "Write small letters: registry/app:1."
        )
    folder = Path(repository).resolve()
    servable = servable_models(folder, with_called(folder, models) if models else models)
    names = [model.name for model in servable]
    engine = connect_engine()
    base = have_image(engine, image or default_image(gpu), say)
    broken = {**unfit_models(folder, names, base, gpu), **unservable_models(folder, names)}
    if broken:
        lines = [f"model {name!r}: {reason}" for name, reason in broken.items()]
        raise RepositoryError(
            "\n".join([f"{folder} cannot be packaged:", *lines]),
            "nosbuild check tells the remedy of each; or name the models to package.",
        )
    folders = [ModelFolder(folder / name) for name in names]
    files = {f"{_COPIED}/{name}": path for name, path in _files(folders)}
    labels = _labels(folders, base)
    made_there = [each.name for each in folders if _is_made_there(each)]
    if made_there:
        _check_secrets(made_there)
    texts = {"Dockerfile": _dockerfile(base, made_there)}
    say(f"Sending {len(files)} files to {engine.name}")
    _build(engine, tar_stream(texts, files), tag, labels, network, say)
    found = find_image(engine, tag)
    if found is None:
        raise HostError(f"{engine.name} built {tag}, but does not have it", "docker images")
    with refusals(engine, "look at the image"):
        size = int(engine.client.api.inspect_image(tag).get("Size") or 0)
    engine.close()
    return Package(tag, found.id, tuple(names), size, labels[f"{_LABELS}.lock"])


_LABELS = "nosbuild.repository"


def _labels(folders: Sequence[ModelFolder], base: Image) -> dict[str, str]:
    locks = {
        f"{folder.name}/{number}": sha256_of_file(folder.version(number) / LOCK)
        for folder in folders
        for number in _served(folder)
        if (folder.version(number) / LOCK).is_file()
    }
    versions = [f"{folder.name}:{','.join(map(str, _served(folder)))}" for folder in folders]
    return {
        f"{_LABELS}.lock": sha256_of_value(locks),
        f"{_LABELS}.models": " ".join(versions),
        "nosbuild.version": VERSION,
        "org.opencontainers.image.base.name": base.name,
    }


def _dockerfile(base: Image, made_there: Sequence[str]) -> str:
    """Installing packages comes with the copy in one layer order: the models change more often
    than the image, and their locks say which packages there are.
    """
    owner = base.user or "0"
    if ":" not in owner:
        owner = f"{owner}:{owner}"
    lines = [f"FROM {base.name}", f"COPY --chown={owner} {_COPIED} {FOLDER}"]
    if made_there:
        variables = sorted(passed_on())
        lines += [f"ARG {name}" for name in variables]
        lines += [f'RUN ["nosbuild", "env", "make", "{FOLDER}"]']
    return "\n".join([*lines, ""])


def _check_secrets(made_there: Sequence[str]) -> None:
    """Arguments of a build are read from its image by whoever has it."""
    for name, value in passed_on().items():
        if _SECRET.search(value):
            raise HostError(
                f"{name} holds a password, which everybody could read in the image's history, and "
                f"packages have to be installed for {', '.join(made_there)}",
                "Pack the environments on this machine instead: nosbuild build --pack.",
            )


def _served(folder: ModelFolder) -> list[int]:
    from nosbuild.repository.config import read_config

    return versions_in_config(read_config(folder.config), folder.versions())


def _files(folders: Iterable[ModelFolder]) -> Iterator[tuple[str, Path]]:
    """What serves a model: its config.pbtxt, served versions, warm-up data, packed environments."""
    for folder in folders:
        roots = [folder.config, folder.path / WARMUP]
        roots += [folder.version(number) for number in _served(folder)]
        for root in roots:
            for path in [root] if root.is_file() else sorted(root.rglob("*")):
                name = path.relative_to(folder.path)
                if path.is_file() and not any(map(_is_hidden, name.parts)):
                    yield f"{folder.name}/{name}", path
        for place in sorted((folder.path / ENVIRONMENTS).glob("*")):
            if is_packed(place):
                yield f"{folder.name}/{ENVIRONMENTS}/{place.name}", place


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__pycache__"


def _is_made_there(folder: ModelFolder) -> bool:
    """It runs in an environment that is not packed in its folder."""
    for number in _served(folder):
        lock = folder.version(number) / LOCK
        if lock.is_file() and (value := read_lock(lock).details.get(DETAIL)):
            key = LockedEnvironment.from_json(value, str(lock)).key
            if not is_packed(folder.path / ENVIRONMENTS / key):
                return True
    return False


def _build(
    engine: Engine,
    context: Iterator[bytes],
    tag: str,
    labels: Mapping[str, str],
    network: str,
    say: Callable[[str], None],
) -> None:
    said: list[str] = []
    with refusals(engine, f"build {tag}"):
        events: Iterator[dict[str, Any]] = engine.client.api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            labels=dict(labels),
            buildargs=dict(passed_on()),
            network_mode=network or None,
            rm=True,
            forcerm=True,
            decode=True,
            timeout=None,
        )
        for event in events:
            if reason := event.get("error"):
                lines = "\n  ".join([str(reason).strip(), *said[-_TOLD_LINES:]])
                raise refusal(engine, f"build {tag}", lines)
            for line in str(event.get("stream", "")).splitlines():
                if line.strip():
                    said.append(line.strip())
                    say(line.strip())


_TOLD_LINES = 8


def _silent(_: str) -> None:
    return
