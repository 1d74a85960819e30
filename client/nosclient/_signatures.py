"""A model's name goes in; its signature, asked for once and remembered, comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nosclient._call import Call, Deadline, Operation
from nosclient._ensure import loaded
from nosclient._errors import InvalidInput, ModelNotFound, ModelNotReady, NosClientError
from nosclient._model_info import Signature, parse_signature
from nosclient._refusals import explained
from nosclient._repository_index import RepositoryIndex


class Signatures(dict[tuple[str, str], Signature]):
    """Those that one client has seen, by name and version.

    Safe to share between threads: it is only read, set and dropped whole entries at a time.

    Args:
        repository: of the client's servers.
    """

    def __init__(self, repository: RepositoryIndex) -> None:
        super().__init__()
        self._repository = repository

    def fetch(self, name: str, version: str, limit: Deadline) -> Operation[Signature]:
        """The signature as it is now, which is remembered."""
        signature = parse_signature(*(yield from self.describe(name, version, limit)))
        self[name, version] = signature
        return signature

    def describe(
        self, name: str, version: str, limit: Deadline, is_again: bool = False
    ) -> Operation[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Metadata and configuration; the model is loaded for it, where that is on demand."""
        try:
            return (
                (yield Call("get_model_metadata", limit.remaining(), name, version)),
                (yield Call("get_model_config", limit.remaining(), name, version)),
            )
        except ModelNotFound as error:
            self.pop((name, version), None)
            if is_again:
                raise (
                    yield from explained(self._repository, error, name, version, ModelNotReady)
                ) from error
            failure = yield from loaded(
                self._repository, error, name, version, ModelNotReady, limit
            )
            if failure is not None:
                raise failure from error
        return (yield from self.describe(name, version, limit, is_again=True))

    def has_changed(self, signature: Signature, call: Call, limit: Deadline) -> Operation[bool]:
        """Whether the call's model has another signature by now, which is remembered then."""
        try:
            return (yield from self.fetch(call.model, call.version, limit)) != signature
        except NosClientError:  # the refusal says more
            return False

    def forget(self, name: str) -> None:
        """All versions of a model."""
        for key in [key for key in list(self) if key[0] == name]:
            self.pop(key, None)


def check_name(name: str) -> None:
    """Refuse what names no model.

    Raises:
        InvalidInput: empty, or no text.
    """
    if not (isinstance(name, str) and name):
        raise InvalidInput(f"{name!r} is no model's name; see list_models()")


def checked_version(name: str, version: str | int) -> str:
    """The version as Triton's protocols write it; the name is checked with it.

    Raises:
        InvalidInput: one of them is none.
    """
    if version == "" and type(name) is str and name:
        return ""
    check_name(name)
    is_number = isinstance(version, int) and not isinstance(version, bool)
    text = str(version) if is_number else version
    if not isinstance(text, str) or (text and not text.isdecimal()):
        raise InvalidInput(f"{version!r} is no version; write a number, e.g. 1")
    return text
