"""Everything a client can do, as generators that yield calls and are sent their answers.

No socket and no event loop here: ``Client`` and ``AsyncClient`` drive the same generators.
"""

from __future__ import annotations

from nosclient._call import Call, Everywhere, Operation
from nosclient._commands import load, unload
from nosclient._errors import InvalidInput, ModelNotFound, ModelNotReady
from nosclient._inferences import Inferences
from nosclient._model_info import (
    ModelInfo,
    ModelStatistics,
    ModelSummary,
    Signature,
    parse_model_info,
    parse_signature,
    parse_statistics,
)
from nosclient._refusals import explained, why_not_ready
from nosclient._service import NOT_YET, wait
from nosclient._signatures import check_name, checked_version


class Operations(Inferences):
    """The operations of one client: inferences, and all that is asked of a server beside them."""

    def list_models(self, deadline: float | None = None) -> Operation[list[ModelSummary]]:
        """The repository index."""
        return (yield from self._repository.read(self.limit(deadline)))

    def get_model_info(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[ModelInfo]:
        """Metadata, configuration and state of a loaded model."""
        version = checked_version(name, version)
        limit = self.limit(deadline)
        metadata, config = yield from self._signatures.describe(name, version, limit)
        index = yield from self._repository.read(limit)
        self._signatures[name, version] = parse_signature(metadata, config)
        return parse_model_info(metadata, config, index)

    def is_ready(self, model: str | None, deadline: float | None) -> Operation[bool]:
        """Whether the server, and the model if one is named, would take a request now."""
        try:
            return (yield from self._probe(model, self.limit(deadline).remaining()))
        except NOT_YET:
            return False

    def wait_until_ready(self, timeout: float, model: str | None) -> Operation[None]:
        """Ask until the answer is yes.

        Raises:
            DeadlineExceeded: still not ready after ``timeout`` seconds; says why.
        """
        what = f"model {model!r}" if model else "the server"
        yield from wait(
            timeout,
            what,
            lambda patience: self._probe(model, patience),
            (lambda: why_not_ready(self._repository, model, self._addresses)) if model else None,
        )

    def signature(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[Signature]:
        """The model's signature, asked for anew and remembered."""
        version = checked_version(name, version)
        return (yield from self._signatures.fetch(name, version, self.limit(deadline)))

    def load_model(self, name: str, deadline: float | None) -> Operation[None]:
        """Load or reload a model; returns when it is ready."""
        check_name(name)
        limit = self.limit(deadline)
        yield Everywhere("load_model", lambda home: load(self._repository, name, limit, home))
        self._signatures.forget(name)

    def unload_model(self, name: str, deadline: float | None) -> Operation[None]:
        """Ask the server to unload a model; work in flight is finished first."""
        check_name(name)
        limit = self.limit(deadline)
        # Triton says yes to the unloading of any name; a typo should not pass for success.
        if not (yield from self._repository.has(name, limit)):
            raise ModelNotFound(f"there is no model {name!r} to unload; see list_models()")
        yield Everywhere("unload_model", lambda home: unload(self._repository, name, limit, home))
        self._signatures.forget(name)

    def statistics(
        self, name: str, version: str | int, deadline: float | None
    ) -> Operation[ModelStatistics]:
        """Counters of a model since it was loaded."""
        version = checked_version(name, version)
        call = Call("get_inference_statistics", self.limit(deadline).remaining(), name, version)
        try:
            answer = yield call
        except (InvalidInput, ModelNotFound) as error:
            raise (
                yield from explained(self._repository, error, name, version, ModelNotReady)
            ) from error
        return parse_statistics(name, answer)

    def _probe(self, model: str | None, timeout: float | None) -> Operation[bool]:
        if model is None:
            ready: bool = yield Call("is_server_ready", timeout)
        else:
            ready = yield Call("is_model_ready", timeout, model)
        return ready
