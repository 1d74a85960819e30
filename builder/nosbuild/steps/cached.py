"""A step's name, and what it is made from, go in; its entry, cached or made now, comes out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.errors import HostError
from nosbuild.repository.layout import ModelFolder
from nosbuild.steps.isolate import Isolated, run_isolated
from nosbuild.steps.keys import STEPS, key_parts
from nosbuild.steps.reasons import LastParts
from nosbuild.steps.reproduce import keep_scripts, write_script
from nosbuild.steps.result import StepOutcome
from nosbuild.store.folders import cache_folder
from nosbuild.store.hashing import sha256_of_file, sha256_of_value
from nosbuild.store.host_errors import cache_errors
from nosbuild.store.locks import cache_lock
from nosbuild.store.store import NEVER_MADE, Entry, Miss, Store

if TYPE_CHECKING:
    from nosbuild.plan import HostFacts
    from nosbuild.spec import ModelSpec
    from nosbuild.steps.progress import Progress

LOCK_DIGITS = 2
"""Hex digits of a step's key in its lock's name: 256 lock files, however many builds there were."""


@dataclass
class CachedSteps:
    """The steps of one build; each runs in a child process, unless the cache has its entry."""

    spec: ModelSpec
    host: HostFacts
    store: Store
    fresh: bool
    timeout: float
    """Seconds that one step may take."""
    progress: Progress
    outcomes: list[StepOutcome] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """Step -> key of its entry."""
    read: dict[str, str] = field(default_factory=dict)
    """Every file that the user's code read -> sha256."""
    made: dict[str, Entry] = field(default_factory=dict)
    """Key -> entry, of this build."""
    requests: dict[str, Isolated] = field(default_factory=dict)
    """Step -> what runs it."""

    def run(
        self,
        step: str,
        made_from: Mapping[str, Any],
        arguments: dict[str, Any],
        *,
        label: str = "",
        model: str = "",
    ) -> Entry:
        """The step's entry.

        Args:
            step: a key of ``keys.STEPS``, which tells where its function is.
            made_from: what decides the result beside the spec and the code: digests of other
                steps' files, and others.
            arguments: of the function; paths are not looked into, so what they hold must be in
                ``made_from``.
            label: what tells it apart from the same step for another variant.
            model: that it is for, where that is a further method of the class.

        Raises:
            NosError: whatever the step raised.
        """
        started = time.monotonic()
        shown, model = label or step, model or self.spec.name
        label = shown if model == self.spec.name else f"{shown} {model}"
        parts = key_parts(step, self.spec, self.host, dict(made_from))
        key = sha256_of_value(parts)
        if key in self.made:  # for another variant of this build
            return self.made[key]
        last = LastParts(cache_folder() / "last", self.spec.folder, label)
        request = self._request(step, label, arguments)
        self.requests[label] = request
        with cache_lock(f"step-{key[:LOCK_DIGITS]}"):
            found = Miss("asked to run afresh") if self.fresh else self.store.find(key)
            if isinstance(found, Miss):
                why = (last.changes(parts) if found == NEVER_MADE else "") or found.reason
                self.progress.step(model, shown, why)
                found = self._make(step, label, key, request)
                cached = False
            else:
                why, cached = "nothing changed", True
            with cache_errors():
                last.keep(parts)
        self.keys[label] = key
        self.made[key] = found
        self.read |= found.read
        self.done(StepOutcome(shown, cached, why, time.monotonic() - started, model))
        return found

    def done(self, outcome: StepOutcome) -> None:
        """Remember and tell an outcome."""
        self.outcomes.append(outcome)
        self.progress.step_done(outcome.model, outcome)

    def write_scripts(self, folder: Path) -> None:
        """A script for each step that runs it alone.

        Raises:
            HostError: they cannot be written.
        """
        for label, request in self.requests.items():
            write_script(folder, label, request)
        keep_scripts(folder, list(self.requests))

    def _request(self, step: str, label: str, arguments: dict[str, Any]) -> Isolated:
        logs = cache_folder() / "logs"
        return Isolated(
            function=f"{STEPS[step].functions}:{step.replace('-', '_')}",
            spec_file=self.spec.file,
            out=logs,  # where it really goes is known when it is made
            arguments=arguments,
            log=logs / f"{self.spec.name}-{label.replace(' ', '-')}.log",
            timeout=self.timeout,
            spec_sha256=self.spec.text_sha256,
        )

    def _make(self, step: str, label: str, key: str, request: Isolated) -> Entry:
        # Native code opens files without a word: what lies in the model's folder counts anyway.
        own = ModelFolder(self.spec.folder).own_data() if "source" in STEPS[step].sections else []
        read = {str(path): sha256_of_file(path) for path in own}
        with cache_errors(), self.store.draft(key) as draft:
            answer = run_isolated(replace(request, out=draft.folder))
            draft.result, draft.read = answer["result"], read | answer["read"]
            draft.about = {"step": label, "model": self.spec.name}
        found = self.store.find(key)
        if isinstance(found, Miss):
            raise HostError(
                f"what {label} made could not be kept: {found.reason}",
                "If files of the model are being changed, wait until that is done; build again.",
            )
        return found
