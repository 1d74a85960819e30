"""Models that a candidate calls go in; those that are not loaded are, for as long as it needs them.

Triton loads an ensemble's models by itself, but not what a class calls; a model manager loads both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from nosbuild.errors import RequestError
from nosbuild.rollout.loads import LoadFailed, Loads
from nosbuild.runtime.loading import require_loadable
from nosbuild.runtime.model_environments import require_environment
from nosbuild.runtime.taking_up import held_still


def load_called(
    loads: Loads, called: Iterable[str], added: ExitStack, say: Callable[[str], None]
) -> None:
    """Without a model manager, load what is called and is not loaded; with one, make what it runs
    in where the server has never loaded it.

    Args:
        loads: of the server.
        called: models of its repository, what is called first.
        added: unloads in its end what was loaded here.
        say: told what happens.

    Raises:
        RequestError: one does not load, which is not the fault of what calls it.
        RepositoryError: one must not be loaded.
    """
    server = loads.server
    for name in called:
        if loads.has_manager:
            if server.files.served(name) is None:
                require_environment(server.repository, name, server.environment(say), say)
        elif not loads.loaded(name):
            say(f"{name}: loading it, as it is called")
            _load(loads, server.repository, name, added, say)


def _load(
    loads: Loads, repository: Path, name: str, added: ExitStack, say: Callable[[str], None]
) -> None:
    files = loads.server.files
    with held_still(repository, [name]) as published:
        served = files.served(name)
        if served and name in published and published[name].new_versions(served):
            raise RequestError(
                f"a new version of {name}, which it calls, was published just now",
                "It is proven first: try again.",
            )
        require_loadable(repository, name)
        require_environment(repository, name, loads.server.environment(say), say)
        try:
            loads.load(name, [name])
        except LoadFailed as failed:
            raise RequestError(
                f"{name}, which it calls, does not load: {failed}", f"nosbuild load {name}"
            ) from failed
        added.callback(loads.drop, name)
        if served is None and name in published:
            files.note(name, published[name])
