"""An error that may mean several things goes in; what it means for a model comes out.

Generators that yield calls, as in ``_operations.py``: the server is asked what it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from nosclient._address import Address
from nosclient._call import Call, Deadline, Home, Operation
from nosclient._error_map import is_version_gone
from nosclient._errors import ModelNotFound, ModelNotReady, NosClientError, ServerUnavailable
from nosclient._model_info import MODEL_MANAGER, ModelSummary
from nosclient._model_manager import is_managed
from nosclient._nearest_name import did_you_mean
from nosclient._repository_index import RepositoryIndex
from nosclient._service import PROBE_SECONDS


def explained(
    repository: RepositoryIndex,
    error: NosClientError,
    name: str,
    version: str,
    otherwise: type[NosClientError],
) -> Operation[NosClientError]:
    """A "not found" made precise: a typo and an unloaded model look the same to Triton.

    ``otherwise`` is for a model that the index calls ready after all.
    """
    try:
        index = yield from repository.read(Deadline(PROBE_SECONDS))
    except NosClientError:
        return error
    return meaning(error, index, name, version, otherwise)


def meaning(
    error: NosClientError,
    index: Sequence[ModelSummary],
    name: str,
    version: str,
    otherwise: type[NosClientError],
) -> NosClientError:
    """The same, of an index that is there."""
    if name == MODEL_MANAGER and is_managed(index):
        return error  # its own words about another model
    rows = [row for row in index if row.name == name]
    if not rows:
        known = sorted({row.name for row in index} - {MODEL_MANAGER})
        names, hint = ", ".join(known) or "none", did_you_mean(name, known)
        return ModelNotFound(f"the server has no model {name!r}; it has: {names}{hint}")
    ready = [row.version for row in rows if row.state == "READY"]
    if version and ready and version not in ready:
        return ModelNotFound(
            f"model {name!r} has no version {version} ready; it has {', '.join(ready)}"
        )
    if ready:
        if is_version_gone(error.message):  # and was loaded again since
            otherwise = ModelNotReady
        return otherwise(f"model {name!r}: {error.message}")
    load, wait = f"load_model({name!r})", f"wait_until_ready(model={name!r})"
    remedy = {
        "LOADING": f"wait for it with {wait}",
        "UNLOADING": f"load it with {load}, or wait with {wait} if another program does",
    }.get(rows[-1].state, f"load it with {load}")
    return ModelNotReady(f"model {name!r} {_state(rows)}; {remedy}")


def who_refused(error: ServerUnavailable, name: str) -> Operation[NosClientError]:
    """UNAVAILABLE is gRPC's word for a lost connection, and a model's for anything."""
    if error.is_lost or error.endpoint is None:
        return error
    try:
        live = yield Call("is_server_live", PROBE_SECONDS, home=Home(error.endpoint))
    except NosClientError:
        return error
    cause = error.message
    return ModelNotReady(f"model {name!r} took no request: {cause}") if live else error


def why_not_ready(
    repository: RepositoryIndex, model: str, addresses: Sequence[Address]
) -> Operation[str]:
    """In words, for somebody who waits for it; of several servers, where it is not and why."""
    limit = Deadline(PROBE_SECONDS)
    if len(addresses) == 1:
        return (yield from _why_not_ready(repository, model, limit, None))[1]
    reasons = []
    for number, address in enumerate(addresses):
        is_ready, reason = yield from _why_not_ready(repository, model, limit, Home(number))
        if not is_ready:
            reasons.append(f"{address}: {reason}")
    return "; ".join(reasons) or "it is READY by now"


def _why_not_ready(
    repository: RepositoryIndex, model: str, limit: Deadline, home: Home | None
) -> Operation[tuple[bool, str]]:
    try:
        index = yield from repository.read(limit, home)
    except NosClientError as error:
        return False, error.message
    rows = [row for row in index if row.name == model]
    if not rows:
        return False, "the server has no model of that name"
    return any(row.state == "READY" for row in rows), f"it {_state(rows)}"


def _state(rows: Sequence[ModelSummary]) -> str:
    state, reason = rows[-1].state, rows[-1].reason.strip()
    if not state or reason == "unloaded":
        return "is not loaded"
    return f"is {state}" + (f" ({reason})" if reason else "")
