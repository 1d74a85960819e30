"""Models go in; a server that has just started loads them, or it is told why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from nosbuild.errors import RepositoryError
from nosbuild.runtime.control import TritonControl
from nosbuild.runtime.servable import ServableModel
from nosbuild.runtime.service import InferenceService, load_failure

_PARALLEL_LOADS = 4


def load_all(
    service: InferenceService,
    servable: Sequence[ServableModel],
    timeout: float,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Loads every model; name -> reason for those that do not load."""
    failures = {}

    told = Lock()

    def load(model: ServableModel) -> tuple[str, str]:
        with told:
            say(f"Loading {model.name}")
        control: TritonControl = service.control
        return model.name, load_failure(control, model.name, service.log_file, timeout)

    workers = min(_PARALLEL_LOADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
        # Ensembles load what they are made of, so they come when that is there.
        try:
            for ensembles in (False, True):
                group = [model for model in servable if model.is_ensemble is ensembles]
                for name, reason in pool.map(load, group):
                    if reason:
                        failures[name] = reason
                        with told:
                            say(f"{name} does not load: {reason}")
        except BaseException:
            # A Ctrl-C: the loads that the pool would wait for end with the server.
            service.stop()
            raise
    return failures


def load_failures(service: InferenceService) -> RepositoryError:
    """What to raise for the models that did not load."""
    lines = [f"model {name!r}: {reason}" for name, reason in service.failures.items()]
    return RepositoryError(
        "\n".join([f"{len(lines)} of the models in {service.repository} did not load:", *lines]),
        f"Build them again, or serve the others with --keep-going. "
        f"Triton's log: {service.log_file}",
    )
