"""A model that is not loaded goes in; where its server loads models on demand, it is loaded.

Generators that yield calls, as in ``_operations.py``. Whether there is a model manager is seen in
the repository index, which is asked in any case once a model was not found. The manager is asked
once for each request.
"""

from __future__ import annotations

from nosclient._call import Deadline, Home, Operation
from nosclient._errors import DeadlineExceeded, ModelNotFound, ModelNotReady, NosClientError
from nosclient._model_info import MODEL_MANAGER
from nosclient._model_manager import (
    is_managed,
    not_by_the_deadline,
    not_known_yet,
    refused_by_manager,
    to_manager,
)
from nosclient._refusals import meaning
from nosclient._repository_index import RepositoryIndex
from nosclient._service import PROBE_SECONDS


def loaded(
    repository: RepositoryIndex,
    error: ModelNotFound,
    name: str,
    version: str,
    otherwise: type[NosClientError],
    limit: Deadline,
    home: Home | None = None,
) -> Operation[NosClientError | None]:
    """Has the model loaded.

    Args:
        repository: of the client's servers.
        error: the server's.
        name: the model's.
        version: that was asked for, or empty.
        otherwise: what it is where the server calls the model ready, and has no manager.
        limit: until when it must be loaded.
        home: the server, where it must be a certain one.

    Returns:
        None where it is loaded now; otherwise what to raise.
    """
    home = home or Home()
    remaining = limit.remaining()
    patience = PROBE_SECONDS if remaining is None else min(PROBE_SECONDS, remaining)
    try:
        index = yield from repository.read(Deadline(patience), home)
    except ModelNotReady as away:  # the manager is
        return away
    except DeadlineExceeded:
        is_over = remaining is not None and remaining <= PROBE_SECONDS
        is_late = is_over or repository.was_refused
        return not_by_the_deadline(name, "loaded") if is_late else error
    except NosClientError:
        return error
    rows = [row for row in index if row.name == name]
    other = [row.version for row in rows if row.state == "READY" and row.version != version]
    if not rows or name == MODEL_MANAGER or not is_managed(index) or (version and other):
        return meaning(error, index, name, version, otherwise)
    try:
        yield to_manager("ensure", limit.remaining(), home, model=name)
    except NosClientError as refused:
        if isinstance(refused, ModelNotFound):
            if MODEL_MANAGER in refused.message:  # it is being loaded again itself
                return meaning(error, index, name, version, otherwise)
            return not_known_yet(name)
        return refused_by_manager(refused, name, "loaded")
    return None
