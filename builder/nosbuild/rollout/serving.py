"""``nosbuild.serve``: a service that proves new versions; and watching for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from nosbuild.errors import RequestError
from nosbuild.rollout.server import RunningServer
from nosbuild.runtime import InferenceService
from nosbuild.runtime import serve as start
from nosbuild.runtime.embedded_service import EmbeddedService

_Arguments = ParamSpec("_Arguments")


def _proving(
    start: Callable[_Arguments, InferenceService],
) -> Callable[_Arguments, InferenceService]:
    @functools.wraps(start)
    def serve(*args: _Arguments.args, **options: _Arguments.kwargs) -> InferenceService:
        service = start(*args, **options)
        if isinstance(service, EmbeddedService):  # in a container, the nosbuild in it proves
            service.rolls_out = rolls_out
        return service

    return serve


serve = _proving(start)
"""``runtime.serve``; ``load_model`` of its service proves a new version before it takes over."""


def rolls_out(
    service: EmbeddedService, model: str, timeout: float, say: Callable[[str], None]
) -> bool:
    """What ``EmbeddedService.rolls_out`` is.

    Raises:
        Refused: a new version of the model, or of one that it calls, is not proven.
    """
    from nosbuild.rollout.outcome import settled  # what proves is slow to import
    from nosbuild.rollout.run import roll_out

    server = RunningServer.of_service(service)
    return settled(roll_out(server, model, timeout=timeout, on_progress=say), model, say)


@contextmanager
def watching(
    service: InferenceService, on_event: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Let new versions take over by themselves, once they are published, for as long as the block
    lasts.

    Args:
        service: that serves the models.
        on_event: told what took over and what was refused, and why, each in a few lines; called
            from a thread.

    Raises:
        RequestError: the server is in a container.
    """
    from nosbuild.rollout.watch import Watch

    if not isinstance(service, EmbeddedService):
        raise RequestError(
            "the server is in a container, in which only its own nosbuild can watch",
            "Start it with ContainerOptions(update=True), as nosbuild serve does.",
        )
    watch = Watch(RunningServer.of_service(service), on_event or _silent)
    try:
        yield
    finally:
        watch.close()


def _silent(_: str) -> None:
    return
