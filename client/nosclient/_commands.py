"""A model to load or unload at one server goes in; its manager does it, or the server itself.

Generators that yield calls, as in ``_operations.py``.
"""

from __future__ import annotations

from nosclient._call import Call, Deadline, Home, Operation
from nosclient._errors import ModelNotFound, NosClientError
from nosclient._model_info import MODEL_MANAGER
from nosclient._model_manager import not_known_yet, refused_by_manager, to_manager
from nosclient._repository_index import RepositoryIndex


def load(repository: RepositoryIndex, name: str, limit: Deadline, home: Home) -> Operation[None]:
    """Loads the model, or its newest version again.

    Raises:
        ModelLoadFailed: with the server's reason.
        ModelNotFound, ModelNotReady: the manager knows no such model, or has no room for it.
    """
    if name == MODEL_MANAGER or not (yield from repository.has_manager(limit, home)):
        yield Call("load_model", limit.remaining(), name, home=home)
        return
    try:
        yield to_manager("ensure", limit.remaining(), home, model=name, again=True)
    except NosClientError as error:
        refusal = refused_by_manager(error, name, "loaded")
        if isinstance(refusal, ModelNotFound) and (yield from repository.has(name, limit)):
            raise not_known_yet(name) from error
        raise refusal from error


def unload(repository: RepositoryIndex, name: str, limit: Deadline, home: Home) -> Operation[None]:
    """Unloads it; its manager waits until it is gone.

    Raises:
        InvalidInput: the manager keeps it: it is pinned, or a loaded model calls it.
    """
    if name == MODEL_MANAGER or not (yield from repository.has_manager(limit, home)):
        yield Call("unload_model", limit.remaining(), name, home=home)
        return
    try:
        yield to_manager("release", limit.remaining(), home, model=name)
    except NosClientError as error:
        raise refused_by_manager(error, name, "unloaded") from error
