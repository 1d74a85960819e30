"""Further options of tritonserver go in; nothing comes out where nosbuild leaves them free."""

from __future__ import annotations

from collections.abc import Sequence

from nosbuild.errors import RequestError

_OURS = {
    "model-repository": "repository=, the first argument",
    "model-store": "repository=, the first argument",
    "model-control-mode": "models=, and load_model of the service: models are loaded explicitly",
    "load-model": "models=",
    "backend-directory": "nothing: the backends are those of nosbuild's server environment",
    "http-address": "host=",
    "grpc-address": "host=",
    "metrics-address": "host=",
    "http-port": "http_port=",
    "grpc-port": "grpc_port=",
    "metrics-port": "metrics_port=",
    "allow-http": "http_port=: nosbuild loads models over HTTP, which stays",
    "exit-timeout-secs": "drain_timeout=",
    "log-file": "log_file=",
}
"""Option -> the argument of ``serve`` in its place. Triton takes the last of two, and nosbuild
would wait for a server that is elsewhere."""
_SHM_PREFIX = "shm-region-prefix-name"
"""Of ``--backend-config=python,...``: by it nosbuild removes what a killed server leaves."""


def check_triton_options(options: Sequence[str]) -> None:
    """Raises where one of them is nosbuild's to set.

    Raises:
        RequestError: it says what to use instead.
    """
    if isinstance(options, str):
        raise RequestError(
            "triton_options is a string, not a list of them", f"Write triton_options=[{options!r}]."
        )
    for option in options:
        name = option.lstrip("-").partition("=")[0]
        instead = _OURS.get(name, "")
        if _SHM_PREFIX in option:
            name, instead = _SHM_PREFIX, "nothing: nosbuild names the memory of its servers"
        if instead:
            raise RequestError(
                f"triton_options: {name} is set by nosbuild.serve itself",
                f"Leave it out; use {instead}.",
            )
