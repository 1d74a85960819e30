"""Models that are loaded when they are asked for: what a server needs for that, and its start."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nosbuild.errors import HostError, InputError, RepositoryError
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import HOST, Sizes, told
from nosbuild.runtime.managed_models import managed_models
from nosbuild.runtime.memory_budget import gpu_budgets, memory_budget
from nosbuild.runtime.model_manager import MODEL_MANAGER, ask_manager, told_by_manager
from nosbuild.runtime.servable import ServableModel
from nosbuild.runtime.service import InferenceService, load_failure
from nosbuild.runtime.too_large import told_too_large, too_large
from nosbuild.store.folders import cache_folder
from nosbuild.store.host_errors import cache_errors
from nosbuild.store.in_use import unused

_FILES = Path(__file__).parents[1] / "inside_triton/model_manager"
_HELD = "held"
"""File that the manager locks for as long as it runs."""
_STARTS_WITHIN_SECONDS = 3600.0
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class OnDemand:
    """A model manager to be."""

    budget: Sizes
    """What models may take together, of main memory and of the GPUs that have a budget."""
    first: Sequence[str]
    """Models that are loaded at the start, and pinned."""
    models: Mapping[str, dict[str, Any]]
    """What the manager is told of each."""
    broken: Mapping[str, str]
    """Model -> why it must not be loaded."""
    too_large: Mapping[str, Sizes] = field(default_factory=dict)
    """Model -> what it needs, where that is more than the budget."""

    def lay_out(
        self, prefix: str, host: str, port: int, keys: Mapping[str, str], log: Path
    ) -> Path:
        """Writes the manager as a model of a repository of its own, which is returned.

        Args:
            prefix: of the folder's name.
            host: at which the manager reaches its own server.
            port: for HTTP.
            keys: headers with the keys of its APIs, where they are restricted.
            log: the file that Triton and its workers write to.

        Raises:
            HostError: the cache folder cannot be written.
        """
        root = cache_folder() / "managers"
        with cache_errors():
            root.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(root)
            repository = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
            folder = repository / MODEL_MANAGER
            folder.mkdir()
            (folder / _HELD).touch()  # by which it is known to be abandoned, were this to end here
            modules = "nos_model_manager"
            shutil.copytree(_FILES / modules, folder / "1" / modules, ignore=_IGNORED)
            shutil.copy(_FILES / "model.py", folder / "1")
            shutil.copy(_FILES / "config.pbtxt", folder)
            settings = {
                "host": host,
                "port": port,
                "keys": dict(keys),
                "budget": told(self.budget),
                "models": dict(self.models),
                "broken": dict(self.broken),
                "log": str(log),
            }
            file = folder / "manager.json"
            file.touch(0o600)  # the keys are secrets
            file.write_text(json.dumps(settings, indent=1))
        return repository

    def begin(
        self, service: InferenceService, timeout: float, say: Callable[[str], None]
    ) -> dict[str, str]:
        """Loads the manager, and through it the first models.

        Returns:
            model -> why it does not load.

        Raises:
            HostError: the manager itself does not.
        """
        reason = load_failure(service.control, MODEL_MANAGER, service.log_file, timeout)
        if reason:
            raise HostError(
                f"the model manager does not load: {reason}", f"Triton's log: {service.log_file}"
            )
        failures = {}
        from nosclient import NosClientError

        with service.client() as client:
            for name in self.first:
                say(f"Loading {name}")
                try:
                    ask_manager(client, "pin", model=name, timeout=timeout)
                    ask_manager(client, "ensure", model=name, timeout=timeout)
                except NosClientError as error:
                    failures[name] = told_by_manager(error.message)
                    say(f"{name} does not load: {failures[name]}")
        return failures


def _remove_abandoned(root: Path) -> None:
    """What servers have left whose supervisor was killed, too; the manager holds its folder."""
    for folder in root.iterdir():
        with suppress(FileNotFoundError):  # its own supervisor removes it now
            if time.time() - folder.stat().st_mtime > _STARTS_WITHIN_SECONDS:
                with unused(folder / MODEL_MANAGER / _HELD) as is_free:
                    if is_free:
                        shutil.rmtree(folder, ignore_errors=True)


def make_manager(
    repository: Path,
    servable: Sequence[ServableModel],
    first: Sequence[str] | None,
    memory: str | int | None,
    gpu_memory: str | Mapping[int, str | int] | None,
    broken: Mapping[str, str],
    say: Callable[[str], None],
) -> OnDemand:
    """What the manager of a server on these models is to know.

    Raises:
        InputError: ``memory`` or ``gpu_memory`` is no size, or less than any of the models needs.
    """
    models = managed_models(repository, [model.name for model in servable])
    budget = Sizes({HOST: memory_budget(memory, say), **gpu_budgets(gpu_memory)})
    unfit = too_large(models, budget)
    for name, sizes in unfit.items():
        say(told_too_large(name, sizes))
    first = [name for name in first or () if name in models]
    return OnDemand(budget, first, models, broken, unfit)


def check_on_demand(
    is_on_demand: bool, has_budget: bool, names: Sequence[str], repository: Path
) -> None:
    """Refuse what cannot be served on demand.

    Raises:
        InputError: a budget without a manager to keep it.
        RepositoryError: a model of the manager's name.
    """
    if has_budget and not is_on_demand:
        raise InputError(
            "memory= and gpu_memory= are budgets for models that are loaded on demand",
            "Add on_demand=True (--models on-demand), or leave it out.",
        )
    if is_on_demand and MODEL_MANAGER in names:
        raise RepositoryError(
            f"{repository} has a model {MODEL_MANAGER!r}, which is the name of the one that loads "
            "the others on demand",
            "Rename its folder, and what its config.pbtxt and model.yaml call it.",
        )
