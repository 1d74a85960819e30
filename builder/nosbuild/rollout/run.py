"""A model of a running server goes in; its new versions are proven there, and serve or do not.

A candidate, which is the new version under another name, is loaded beside what is served and
answers the golden samples. Then the model itself is loaded again: Triton loads the new version
beside the old one, and swaps once it is ready. A version that fails is marked, and config.pbtxt
goes back to what is served.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from nosbuild.errors import RepositoryError, RequestError
from nosbuild.prove import ServedProof, prove_versions
from nosbuild.prove.published import published_versions
from nosbuild.repository.calls import called_by
from nosbuild.repository.check import Finding
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.refused import read_bytes
from nosbuild.repository.unservable import as_reason, serving_errors
from nosbuild.rollout.called import load_called
from nosbuild.rollout.callers import check_callers
from nosbuild.rollout.candidate import Candidate, abandoned, candidate_of
from nosbuild.rollout.loads import LoadFailed, Loads
from nosbuild.rollout.outcome import RollOut
from nosbuild.rollout.refusing import Refusal, Superseded
from nosbuild.rollout.server import RunningServer
from nosbuild.runtime.model_environments import require_environment
from nosbuild.runtime.served_files import Snapshot, snapshot_of
from nosbuild.runtime.taking_up import held_still

LOAD_SECONDS = 300.0
_PATIENCE_SECONDS = 1.0
"""For which the proof tries to get requests joined: there are other callers."""
_ATTEMPTS = 5
"""How often it begins again because something else was published meanwhile."""


class _Unproven(Exception):
    """Why nothing can prove it."""


def roll_out(
    server: RunningServer,
    model: str,
    *,
    load: bool = True,
    timeout: float = LOAD_SECONDS,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[RollOut, ...]:
    """Prove new versions of a model, and of those that it calls, and let them take over.

    One roll-out of a server runs at a time; another one waits for it.

    Args:
        server: that serves the model, or has.
        model: one that the server never loaded has no new versions.
        load: where models are loaded on demand, load it in the end though it was not loaded.
        timeout: seconds that each load may take.
        on_progress: told what happens, one line at a time.

    Returns:
        one for each model that had new versions, what is called first; none after a refused one.

    Raises:
        RequestError, HostError: they cannot be tried now (no room, no server); nothing changed.
        RepositoryError, SpecError, InputError: what judges them cannot be read.
    """
    say = on_progress or _silent
    outcomes: list[RollOut] = []
    with server.files.locked(), server.client() as client:
        loads = Loads.of(server, client, timeout)
        for name in abandoned(server.files.models):
            loads.drop(name)
            shutil.rmtree(server.files.models / name, ignore_errors=True)
        for name in closure(server.repository, model):
            wanted = load and name == model
            outcome = _Roll(server, loads, ModelFolder(server.repository / name), wanted, say).go()
            if outcome:
                outcomes.append(outcome)
                if outcome.refused:
                    break
    return tuple(outcomes)


def closure(repository: Path, model: str) -> list[str]:
    """A model and all that it calls, what is called first."""
    found: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        for called in called_by(ModelFolder(repository / name)):
            if called not in found and called not in path:
                visit(called, (*path, called))
        if name not in found:
            found.append(name)

    visit(model, (model,))
    return found


def _silent(_: str) -> None:
    return


@dataclass(frozen=True)
class _Roll:
    """The new versions of one model."""

    server: RunningServer
    loads: Loads
    folder: ModelFolder
    load: bool
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        return self.folder.name

    def go(self) -> RollOut | None:
        for _ in range(_ATTEMPTS):
            try:
                return self._attempt()
            except Superseded:
                self.say(f"{self.name}: something newer was published meanwhile")
        raise RequestError(
            f"{self.name} is published again and again: no version of it is proven",
            f"nosbuild load {self.name}, once it is not.",
        )

    def _attempt(self) -> RollOut | None:
        served = self.server.files.served(self.name)
        if served is None or not self.folder.is_built:
            return None
        published = snapshot_of(self.folder)
        new = published.new_versions(served)
        if not new:
            return None
        outcome = RollOut(self.name, tuple(served.versions), tuple(new))
        self.say(f"{self.name}: new version {', '.join(map(str, new))}")
        if errors := serving_errors(self.server.repository, [self.name]):
            # What config.pbtxt itself, or an old version, has wrong is no new one's fault.
            marks = {v: as_reason(_within(self.folder.version(v), errors)) for v in new}
            marks = {version: reason for version, reason in marks.items() if reason}
            return self._refuse(outcome, served, published, as_reason(errors), marks)
        check_callers(self.loads, self.folder, served, published)
        with candidate_of(self.folder, published, self.server.files.models) as candidate:
            return self._try(outcome, served, published, candidate)

    def _try(
        self, outcome: RollOut, served: Snapshot, published: Snapshot, candidate: Candidate
    ) -> RollOut:
        """Load the candidate, prove it, and go on or back."""
        server, loads, new = self.server, self.loads, outcome.versions
        require_environment(
            server.files.models, candidate.name, server.environment(self.say), self.say
        )
        try:
            with ExitStack() as added:
                called = closure(server.repository, self.name)[:-1]
                load_called(loads, called, added, self.say)
                try:
                    self.say(f"{self.name}: loading it beside what is served")
                    loads.try_out(candidate, self._unknown())
                    outcome = replace(outcome, proofs=self._proofs(published, candidate))
                except RequestError as error:
                    if ended := loads.how_it_ended(candidate.name):
                        raise _Unproven(f"over its golden samples {ended}") from error
                    raise
                finally:
                    loads.drop(candidate.name)
                if reasons := _reasons(outcome.proofs):
                    told = "\n".join(dict.fromkeys(reasons.values()))
                    at_fault = {v: reasons[v] for v in new if v in reasons}
                    marks = at_fault or dict.fromkeys(new, told)
                    return self._refuse(outcome, served, published, told, marks)
                is_loaded = self.load or bool(loads.loaded(self.name))
                self._take_over(published, loads.load if is_loaded else loads.make_known)
                if is_loaded:
                    added.pop_all()  # which it calls from now on
                return replace(outcome, is_loaded=is_loaded)
        except _Unproven as unproven:
            reason = str(unproven)
        except LoadFailed as failed:
            reason = candidate.as_model(f"it does not load: {failed}")
        except RequestError as error:
            raise RequestError(candidate.as_model(error.message), error.remedy) from error
        return self._refuse(outcome, served, published, reason, dict.fromkeys(new, reason))

    def _proofs(self, published: Snapshot, candidate: Candidate) -> tuple[ServedProof, ...]:
        """Of every version that is published: the settings may be new for the old ones, too."""
        try:
            versions = [
                replace(version, name=candidate.name)
                for version in published_versions(self.folder, {})
                if version.version in published.versions
            ]
        except RepositoryError as error:
            raise _Unproven(error.message) from error
        proofs = prove_versions(
            versions, self.server, patience=_PATIENCE_SECONDS, on_progress=self._said_by(candidate)
        )
        return tuple(_of_model(proof, candidate) for proof in proofs)

    def _said_by(self, candidate: Candidate) -> Callable[[str], None]:
        return lambda line: self.say(candidate.as_model(line))

    def _take_over(self, published: Snapshot, load: Callable[[str, Sequence[str]], None]) -> None:
        """Nothing else is published until the server has taken up what was proven."""
        server, unknown = self.server, self._unknown()
        with held_still(server.repository, [self.name, *unknown]) as there:
            if read_bytes(self.folder.config) != published.config:
                raise Superseded
            environment = server.environment(self.say)
            require_environment(server.repository, self.name, environment, self.say)
            self.say(f"{self.name}: it takes over")
            load(self.name, [self.name, *unknown])
            for name, snapshot in {**there, self.name: published}.items():
                server.files.note(name, snapshot)

    def _unknown(self) -> list[str]:
        """Models that it calls and that the server has not loaded yet."""
        found = closure(self.server.repository, self.name)
        return [name for name in found if not self.server.files.served(name)]

    def _refuse(
        self,
        outcome: RollOut,
        served: Snapshot,
        published: Snapshot,
        told: str,
        marks: Mapping[int, str],
    ) -> RollOut:
        refusal = Refusal(self.folder, served, published, marks)
        in_place = refusal.carry_out(self.loads, self.load, self.say)
        return replace(outcome, refused=told, in_place=in_place)


def _of_model(proof: ServedProof, candidate: Candidate) -> ServedProof:
    ways = [
        way.model_copy(update={"failure": candidate.as_model(way.failure)}) for way in proof.ways
    ]
    return proof.model_copy(update={"model": candidate.model, "ways": tuple(ways)})


def _reasons(proofs: Sequence[ServedProof]) -> dict[int, str]:
    """Version -> why it is not proven."""
    return {proof.version: proof.refusal() for proof in proofs if not proof.passed}


def _within(version: Path, errors: Iterable[Finding]) -> Iterator[Finding]:
    return (error for error in errors if error.file.is_relative_to(version))
