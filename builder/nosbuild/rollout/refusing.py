"""Versions that failed go in; config.pbtxt goes back to what is served, and they are marked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from nosbuild.errors import HostError, NosError
from nosbuild.repository.config import write_text
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.placed import carry_placement
from nosbuild.repository.refused import mark_refused, read_bytes, restore_config
from nosbuild.rollout.loads import LoadFailed, Loads
from nosbuild.runtime.model_environments import require_environment
from nosbuild.runtime.served_files import Snapshot
from nosbuild.runtime.taking_up import held_still


class Superseded(Exception):
    """Something else is published by now."""


@dataclass(frozen=True)
class Refusal:
    """What failed, and what is served instead of it."""

    folder: ModelFolder
    served: Snapshot
    published: Snapshot
    marks: Mapping[int, str]
    """Version -> why it is to be marked; those that are not at fault are not in it."""

    def carry_out(self, loads: Loads, load: bool, say: Callable[[str], None]) -> str:
        """Go back, then mark: whoever is killed in between leaves what can be served.

        Args:
            loads: of the server.
            load: where models are loaded on demand, load it in the end though it was not loaded.
            say: told what is installed.

        Returns:
            what could not be put back, or marked; empty where all was.

        Raises:
            Superseded: something else is published by now.
            HostError: the server ended meanwhile; nothing is changed.
        """
        server = loads.server
        with held_still(server.repository, [self.folder.name]):
            if read_bytes(self.folder.config) != self.published.config:
                raise Superseded
            if not loads.client.is_healthy():
                raise HostError(
                    f"the server at {server.grpc_url} ended meanwhile",
                    f"Its log is {server.log_file}.",
                )
            troubles = [restored := self._restore(), *self._mark()]
            troubles.append(self._settle(loads, not restored, load, say))
        return "; ".join(filter(None, troubles))

    def _restore(self) -> str:
        """Config.pbtxt names what is served, again; why it does not, otherwise."""
        try:
            for version in self.served.versions:
                if not self.served.has(self.folder, version):
                    return f"config.pbtxt still names it: version {version} is gone"
            config = self.served.parsed()
            if carry_placement(config, self.published.parsed()):
                restore_config(self.folder, write_text(config).encode(), time.time_ns())
            else:
                restore_config(self.folder, self.served.config, self.served.changed_ns)
        except NosError as error:
            return error.message
        return ""

    def _mark(self) -> Iterator[str]:
        for version, reason in self.marks.items():
            try:
                mark_refused(self.folder, version, reason)
            except NosError as error:
                yield error.message

    def _settle(
        self, loads: Loads, is_restored: bool, load: bool, say: Callable[[str], None]
    ) -> str:
        """The server, and its model manager, hold to what is served; why not, otherwise."""
        server, name = loads.server, self.folder.name
        try:
            if is_restored:
                environment = server.environment(say)
                require_environment(server.repository, name, environment, say)
            loads.settle(self.folder, self.served, is_restored=is_restored, load=load)
        except LoadFailed as failed:
            return f"what was served does not load again: {failed}"
        except NosError as error:
            return f"the server does not hold to what it served: {error.message}"
        return ""
