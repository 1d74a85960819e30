"""The requirements of a Python class go in; its environment, where serving finds it, comes out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.environments.linking import link_environment
from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.model_environment import Environment, model_environment, resolve
from nosbuild.environments.packing import check_container, pack
from nosbuild.errors import InputError
from nosbuild.repository.layout import ENVIRONMENTS, LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.repository.served import built_versions
from nosbuild.steps.result import StepOutcome
from nosbuild.store.host_errors import host_errors

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.spec import ModelSpec
    from nosbuild.steps.cached import CachedSteps


def has_own_environment(spec: ModelSpec) -> bool:
    """Whether the class is served by a Python of its own; otherwise by the server's."""
    return bool(spec.requirements or spec.python or spec.system_site)


class ClassEnvironments:
    """The environment of one build; what is done to it is told, and counts as a step."""

    def __init__(self, steps: CachedSteps, plan: BuildPlan, repository: Path) -> None:
        """``repository``: where the model is published, and was."""
        self.steps = steps
        self.spec = steps.spec
        self.plan = plan
        self.repository = repository
        self.told: list[str] = []

    def make(self) -> Environment:
        """Resolved, locked and made; nobody removes it while this process lives.

        Raises:
            InputError: requirements that do not exist or exclude each other.
            HostError: no network, no such Python, a package that does not build here.
        """
        started = time.monotonic()
        where = f"{self.spec.file}: requirements"
        locked = resolve(
            self.spec.requirements,
            python=self.spec.python,
            system_site=self.spec.system_site,
            previous=self._previous(),
            fresh=self.steps.fresh,
            where=where,
            on_progress=self._tell,
        )
        if has_own_environment(self.spec) and self.plan.target.release:
            check_container(locked, self.plan.target.release, where=f"{self.spec.file}: python")
        environment = model_environment(locked, self._tell, where=where)
        why = self.told[0] if self.told else "nothing changed"
        seconds = time.monotonic() - started
        self.steps.done(
            StepOutcome("environment", not self.told, why, seconds, self.steps.spec.name)
        )
        return environment

    def place(self, environment: Environment, model: Path, *, packed: bool) -> None:
        """Put it where the model's config.pbtxt looks: a link into the cache, or all of it.

        Raises:
            HostError: it cannot be written there.
        """
        folder = model / ENVIRONMENTS
        with host_errors(f"{folder} cannot be made", "Change the rights of the repository."):
            folder.mkdir(parents=True, exist_ok=True)
        if not packed:
            link_environment(folder, environment)
            return
        pack(environment, folder / environment.key, on_progress=self._tell)

    def _tell(self, line: str) -> None:
        self.told.append(line)
        self.steps.progress.tell(self.spec.name, line)

    def _previous(self) -> LockedEnvironment | None:
        """Of the newest version: what was locked stays until the requirements change."""
        folder = ModelFolder(self.repository / self.spec.name)
        versions = built_versions(folder)
        if not versions:
            return None
        path = folder.version(versions[-1]) / LOCK
        try:
            environment = read_lock(path).details.get("environment")
            return LockedEnvironment.from_json(environment, str(path)) if environment else None
        except InputError:
            return None  # of another nosbuild: it is chosen anew
