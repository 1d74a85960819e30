"""Starts a real Triton on a model repository, without Docker."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nosbuild.errors import HostError, NosError, RepositoryError
from nosbuild.repository.calls import with_called
from nosbuild.repository.unservable import unservable_models
from nosbuild.runtime.embedded_service import EmbeddedService
from nosbuild.runtime.environment import ServerEnvironment, server_environment
from nosbuild.runtime.first_loads import load_all, load_failures
from nosbuild.runtime.gpu_needs import gpu_needs
from nosbuild.runtime.hidden_values import hide_values
from nosbuild.runtime.manager_watch import ManagerWatch
from nosbuild.runtime.model_environments import link_environments
from nosbuild.runtime.on_demand import OnDemand, check_on_demand, make_manager
from nosbuild.runtime.ports import ChosenPorts, Ports, choose_ports
from nosbuild.runtime.process import Orders, ServerProcess
from nosbuild.runtime.restrictions import (
    only_for_the_manager,
    restrictions_of,
    words_with_keys,
)
from nosbuild.runtime.servable import ServableModel, servable_models
from nosbuild.runtime.served_files import make_served_files
from nosbuild.runtime.server_log import LogEcho, error_lines, last_lines
from nosbuild.runtime.service import LOAD_SECONDS
from nosbuild.runtime.service_record import (
    ServiceRecord,
    services_folder,
    start_time,
    write_record,
)
from nosbuild.runtime.triton_options import check_triton_options
from nosbuild.store.folders import cache_folder

_LIVE_SECONDS = 60.0
_LIVE_STEP_SECONDS = 0.02
_PORT_ATTEMPTS = 4
_DRAIN_SECONDS = 2.0
_FINALIZE_SECONDS = 10.0
_RESPONSE_CACHE_BYTES = 64 * 1024 * 1024
_PORT_LOST = ("address already in use", "already in use", "failed to start grpc", "unable to bind")


def serve(
    repository: Path | str,
    *,
    models: Sequence[str] | None = None,
    on_demand: bool = False,
    memory: str | int | None = None,
    gpu_memory: str | Mapping[int, str | int] | None = None,
    host: str = "127.0.0.1",
    http_port: int | None = None,
    grpc_port: int | None = None,
    metrics_port: int | None = None,
    log_file: Path | str | None = None,
    verbose: bool = False,
    keep_going: bool = False,
    load_timeout: float = LOAD_SECONDS,
    drain_timeout: float | None = None,
    triton_options: Sequence[str] = (),
    announce: bool = True,
    response_cache: bool = True,
    on_progress: Callable[[str], None] | None = None,
) -> EmbeddedService:
    """``serving.serve`` for ``runtime="embedded"``: the same arguments, and the same errors."""
    check_triton_options(triton_options)
    say = on_progress or _silent
    folder = Path(repository).absolute()
    servable = servable_models(folder, with_called(folder, models) if models else models)
    if on_demand:
        servable = servable_models(folder)  # any may be asked for
    has_budget = memory is not None or gpu_memory is not None
    check_on_demand(on_demand, has_budget, [model.name for model in servable], folder)
    broken = unservable_models(folder, [model.name for model in servable])
    if broken and not (keep_going and len(broken) < len(servable)):
        raise _not_servable(folder, broken)
    servable = [model for model in servable if model.name not in broken]
    log = Path(log_file) if log_file else None
    if log and log.exists():
        log.replace(log.with_name(f"{log.name}.1"))  # an earlier run's
    names = [model.name for model in servable]
    environment = server_environment(say, gpu_needs(folder, names))
    unmade = link_environments(folder, names, environment, say)
    if unmade and not (keep_going and len(unmade) < len(servable)):
        raise next(iter(unmade.values()))
    broken |= {name: error.message for name, error in unmade.items()}
    servable = [model for model in servable if model.name not in broken]
    if drain_timeout is None:
        finalizes = any(model.finalizes for model in servable)
        drain_timeout = _FINALIZE_SECONDS if finalizes else _DRAIN_SECONDS
    options = [*_cache_options(servable, environment, response_cache), *triton_options]
    manager = (
        make_manager(folder, servable, models, memory, gpu_memory, broken, say)
        if on_demand
        else None
    )
    options += only_for_the_manager(triton_options) if manager else []
    if keep_going or manager:
        # Strictly, one model that does not load, or is on its way, makes the server "not ready".
        options.insert(0, "--strict-readiness=false")
    asked = Ports(http_port, grpc_port, metrics_port)
    for attempt in range(_PORT_ATTEMPTS):
        ports = choose_ports(host, asked, prefer_triton=attempt == 0)
        say(f"Starting Triton on {_reachable(host)}:{ports.http} (HTTP), :{ports.grpc} (gRPC)")
        service = _start(
            folder, servable, environment, host, ports, drain_timeout, log, options, manager
        )
        try:
            if verbose:
                service.echo = LogEcho(service.log_file)
            if not _becomes_live(service):
                if _port_was_lost(service.log_file) and attempt + 1 < _PORT_ATTEMPTS:
                    service.stop()
                    service.log_file.unlink(missing_ok=True)
                    continue
                raise _start_failure(service)
            if not hide_values(service.pid, words_with_keys(options)):  # Triton has read them
                say("Keys of restricted APIs stay in the list of processes: they cannot be hidden")
            if manager:
                failed = manager.begin(service, load_timeout, say)
                service.watch = ManagerWatch(service)
            else:
                failed = load_all(service, servable, load_timeout, say)
            service.failures = {**broken, **failed}
            if failed and not (keep_going and len(failed) < len(servable)):
                raise load_failures(service)
            if announce:
                _announce(service)
        except BaseException as error:
            # A log that explains the failure is worth keeping; one of a Ctrl-C is not.
            service.stop(keep_log=isinstance(error, NosError))
            raise
        return service
    raise AssertionError("the last attempt returns or raises")


def _silent(_: str) -> None:
    return


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


def _start(
    repository: Path,
    servable: Sequence[ServableModel],
    environment: ServerEnvironment,
    host: str,
    ports: ChosenPorts,
    drain_seconds: float,
    log_file: Path | None,
    triton_options: Sequence[str],
    manager: OnDemand | None,
) -> EmbeddedService:
    shm_prefix = f"nosbuild-{os.getpid()}-{secrets.token_hex(4)}-"
    log = log_file.absolute() if log_file else cache_folder() / "logs" / f"{shm_prefix}triton.log"
    restrictions = restrictions_of(triton_options)
    files = make_served_files(shm_prefix.strip("-"))
    files.remember(repository, [model.name for model in servable])
    folders, repositories = [str(files.folder)], [str(repository), str(files.models)]
    if manager:
        reachable = _reachable(host), ports.http, restrictions.http, log
        folders.append(str(manager.lay_out(shm_prefix, *reachable)))
        repositories.append(folders[-1])
    command = [
        str(environment.tritonserver),
        *(f"--model-repository={path}" for path in repositories),
        "--model-control-mode=explicit",
        f"--backend-directory={environment.backends}",
        f"--http-address={host}",
        f"--http-port={ports.http}",
        f"--grpc-address={host}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={host}",
        f"--metrics-port={ports.metrics}",
        f"--exit-timeout-secs={max(1, round(drain_seconds))}",
        # Holds for every backend that is built on the Python backend.
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        *_options(servable),
        *triton_options,
    ]
    process = ServerProcess(
        Orders(
            command,
            environment.variables(),
            log=str(log),
            keep_log=log_file is not None,
            shm_prefix=shm_prefix,
            services=str(services_folder()),
            drain_seconds=drain_seconds + 0.5,  # Triton's own limit comes first
            ports=[ports.http, ports.grpc],
            finalizes=any(model.finalizes for model in servable),
            folders=folders,
        )
    )
    files.belongs_to(process.pid)
    return EmbeddedService(
        repository,
        _reachable(host),
        ports,
        log,
        process=process,
        environment=environment,
        files=files,
        is_on_demand=manager is not None,
        too_large=manager.too_large if manager else {},
        restrictions=restrictions,
    )


def _options(servable: Sequence[ServableModel]) -> list[str]:
    if all(model.is_complete for model in servable):
        # Completing costs a worker process for each model, 1.3 s each, to find nothing to do.
        return ["--disable-auto-complete-config"]
    return []


def _cache_options(
    servable: Sequence[ServableModel], environment: ServerEnvironment, allowed: bool
) -> list[str]:
    if not (allowed and any(model.wants_response_cache for model in servable)):
        return []
    return [
        f"--cache-config=local,size={_RESPONSE_CACHE_BYTES}",
        f"--cache-directory={environment.caches}",
    ]


def _becomes_live(service: EmbeddedService) -> bool:
    """Waits until the server answers; False where it ends instead, or takes too long."""
    deadline = time.monotonic() + _LIVE_SECONDS
    while service.is_running and time.monotonic() < deadline:
        # Another server may answer on a port that ours lost; ours has then ended.
        if service.control.is_live() and service.is_running:
            return True
        time.sleep(_LIVE_STEP_SECONDS)
    return False


def _port_was_lost(log: Path) -> bool:
    text = "\n".join(error_lines(log) + last_lines(log)).lower()
    return any(sign in text for sign in _PORT_LOST)


def _start_failure(service: EmbeddedService) -> HostError:
    lines = error_lines(service.log_file) or last_lines(service.log_file)
    return HostError(
        "\n  ".join(["Triton did not start:", *lines]),
        f"Triton's log: {service.log_file}; 'nosbuild doctor' tells what this machine lacks.",
    )


def _not_servable(repository: Path, broken: dict[str, str]) -> RepositoryError:
    lines = [f"model {name!r}: {reason}" for name, reason in broken.items()]
    return RepositoryError(
        "\n".join([f"{repository} cannot be served:", *lines]),
        "nosbuild check tells the remedy of each; or serve the others with --keep-going.",
    )


def _announce(service: EmbeddedService) -> None:
    started = start_time(service.pid)
    if started is None:
        raise _start_failure(service)
    write_record(
        ServiceRecord(
            service.pid,
            started,
            str(service.repository),
            service.http_url,
            service.grpc_url,
            service.metrics_url,
            str(service.log_file),
        )
    )
