"""An error that may mean several things goes in; what it means for a model comes out.

Generators that yield calls, as in ``_operations.py``: the server is asked what it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from nosclient._call import Call, Deadline, Home, Operation
from nosclient._errors import ModelNotFound, ModelNotReady, NosClientError, ServerUnavailable
from nosclient._model_info import MODEL_MANAGER, ModelSummary, parse_index
from nosclient._service import PROBE_SECONDS


def repository_index(limit: Deadline, home: Home | None = None) -> Operation[list[ModelSummary]]:
    """Every model in the server's repository, loaded or not; ``home``: which server's."""
    call = Call("get_model_repository_index", limit.remaining(), home=home)
    return parse_index((yield call))


def is_managed(index: Sequence[ModelSummary]) -> bool:
    """Whether the server loads models on demand."""
    return any(row.name == MODEL_MANAGER and row.state == "READY" for row in index)


def explained(
    error: NosClientError, name: str, version: str, otherwise: type[NosClientError]
) -> Operation[NosClientError]:
    """A "not found" made precise: a typo and an unloaded model look the same to Triton.

    ``otherwise`` is for a model that the index calls ready after all.
    """
    try:
        index = yield from repository_index(Deadline(PROBE_SECONDS))
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
        names = sorted({row.name for row in index} - {MODEL_MANAGER})
        has = f"the server has no model {name!r}; it has: {', '.join(names) or 'none'}"
        return ModelNotFound(has + _near(name, names))
    ready = [row.version for row in rows if row.state == "READY"]
    if version and ready and version not in ready:
        return ModelNotFound(
            f"model {name!r} has no version {version} ready; it has {', '.join(ready)}"
        )
    if ready:
        return otherwise(f"model {name!r}: {error.message}")
    return ModelNotReady(f"model {name!r} {_state(rows)}; load it with load_model({name!r})")


def _near(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


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


def why_not_ready(model: str) -> Operation[str]:
    """In words, for somebody who waits for it."""
    try:
        index = yield from repository_index(Deadline(PROBE_SECONDS))
    except NosClientError as error:
        return error.message
    rows = [row for row in index if row.name == model]
    return f"it {_state(rows)}" if rows else "the server has no model of that name"


def _state(rows: Sequence[ModelSummary]) -> str:
    state, reason = rows[-1].state, rows[-1].reason.strip()
    if not state or reason == "unloaded":
        return "is not loaded"
    return f"is {state}" + (f" ({reason})" if reason else "")
