"""A model repository goes in; every published version, proven through a real Triton, comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import HostError, RepositoryError, RequestError
from nosbuild.prove.proof import ServedProof, Way
from nosbuild.prove.published import PublishedVersion, published_versions
from nosbuild.prove.replay import BURST, BURST_SECONDS, in_flight, replay
from nosbuild.prove.transports import (
    TRANSPORTS,
    Server,
    caller_over,
    cuda_hindrance,
    hindrance,
)
from nosbuild.repository.layout import ModelFolder
from nosbuild.runtime.embedded import serve
from nosbuild.runtime.servable import servable_models
from nosclient import Client, NosClientError, ServerUnavailable, Unauthorized

if TYPE_CHECKING:
    from nosbuild.runtime.service import InferenceService
    from nosbuild.spec import ModelSpec

ANSWER_SECONDS = 120.0
"""How long one request may take."""
_LONG_SECONDS = 30.0
"""What repeating samples may take over one transport, so that batches form."""


def prove_served(
    repository: Path | str,
    models: Sequence[str] | None = None,
    *,
    server: Server | None = None,
    specs: Mapping[str, ModelSpec] | None = None,
    answer_timeout: float = ANSWER_SECONDS,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[ServedProof, ...]:
    """Replay the golden samples of every version that is served, over every transport.

    Starts a Triton of its own on free ports, without the response cache (which would answer for
    the model), and stops it.

    Args:
        repository: Triton's model repository.
        models: names; None: every model in it that a build made.
        server: a server that runs on this repository already; none is started then.
        specs: model -> the spec whose bars count; without, the model.yaml in its folder, or
            what its lock tells of it.
        answer_timeout: seconds that one request may take.
        on_progress: told what happens, one line at a time.

    Returns:
        one proof for each version, by name; see ``passed`` and ``refusal()``.

    Raises:
        RepositoryError: nothing to prove, or nothing of it can be served.
        SpecError, InputError: a broken model.yaml, or a metric of the user's own that raises.
        RequestError: the server does not load one of them, or does not tell of it in time.
        HostError: no server can be started here, or it ended meanwhile.
    """
    say = on_progress or _silent
    folder = Path(repository)
    versions = _versions(folder, models, specs or {}, say)
    if server is not None:
        return _prove_all(versions, server, {}, answer_timeout, say)
    with _served(folder, versions, say) as service:
        proofs = _prove_all(versions, service, service.failures, answer_timeout, say)
        if not all(proof.passed for proof in proofs):
            service.stop(keep_log=True)
        return proofs


def prove_versions(
    versions: Sequence[PublishedVersion],
    server: Server,
    *,
    answer_timeout: float = ANSWER_SECONDS,
    patience: float = BURST_SECONDS,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[ServedProof, ...]:
    """The same of versions at hand, through a server that has loaded them.

    Args:
        versions: each under the name that the server knows it by.
        server: that.
        answer_timeout: seconds that one request may take.
        patience: seconds for which requests are sent together until some were joined.
        on_progress: told what happens, one line at a time.

    Raises:
        InputError: a metric of the user's own that raises.
        RequestError: the server has not loaded one of them, or does not tell of it in time.
        HostError: the server ended meanwhile, or asks for a secret.
    """
    return _prove_all(versions, server, {}, answer_timeout, on_progress or _silent, patience)


def _silent(_: str) -> None:
    return


def _versions(
    repository: Path,
    models: Sequence[str] | None,
    specs: Mapping[str, ModelSpec],
    say: Callable[[str], None],
) -> list[PublishedVersion]:
    names = [model.name for model in servable_models(repository, models)]
    found = {name: published_versions(ModelFolder(repository / name), specs) for name in names}
    by_hand = [name for name, versions in found.items() if not versions]
    if by_hand and (models is not None or len(by_hand) == len(names)):
        raise RepositoryError(
            f"{', '.join(by_hand)} in {repository}: no build made it, so nothing tells what it "
            "should answer",
            f"Prove models that have a nos.lock: nosbuild build {repository / by_hand[0]}",
        )
    for name in by_hand:
        say(f"{name}: left out, no build made it")
    return [version for name in names for version in found[name]]


@contextmanager
def _served(
    repository: Path, versions: Sequence[PublishedVersion], say: Callable[[str], None]
) -> Iterator[InferenceService]:
    service = serve(
        repository,
        models=sorted({version.name for version in versions}),
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        keep_going=True,
        announce=False,
        response_cache=False,
        on_progress=say,
    )
    with service:
        try:
            yield service
        except HostError:
            service.stop(keep_log=True)
            raise


def _prove_all(
    versions: Sequence[PublishedVersion],
    server: Server,
    failures: Mapping[str, str],
    deadline: float,
    say: Callable[[str], None],
    patience: float = BURST_SECONDS,
) -> tuple[ServedProof, ...]:
    try:
        return tuple(
            _prove(version, server, failures.get(version.name, ""), deadline, say, patience)
            for version in versions
        )
    except Unauthorized as error:
        raise HostError(
            f"the server at {server.grpc_url} does not let golden samples through: {error.message}",
            "Serve it without keys for inference, or prove it before: nosbuild prove.",
        ) from error
    except ServerUnavailable as error:
        raise HostError(
            f"Triton ended, or does not answer: {error.message}",
            f"Its log: {server.log_file}",
        ) from error
    except NosClientError as error:  # not of a sample, but of what is asked beside them
        raise RequestError(error.message, f"Triton's log: {server.log_file}") from error


def _prove(
    published: PublishedVersion,
    server: Server,
    failure: str,
    deadline: float,
    say: Callable[[str], None],
    patience: float,
) -> ServedProof:
    ways: list[Way] = []
    skipped: dict[str, str] = {}
    with Client(server.grpc_url, deadline=deadline) as statistics:
        if not failure:  # a server on demand loads it for that
            statistics.get_model_info(published.name, published.version)
        for transport in () if failure else TRANSPORTS:
            reason = hindrance(published, transport)
            if reason:
                skipped[transport] = reason
                continue
            with closing(caller_over(published, server, transport, deadline)) as caller:
                name = f"{published.name} v{published.version}: over {transport}"
                say(f"{name}, one by one")
                alone = replay(published, caller, statistics, transport, at_once=1)
                say(f"{name}, together")
                at_once, burst = _pace(published, alone, deadline)
                together = replay(
                    published,
                    caller,
                    statistics,
                    transport,
                    at_once=at_once,
                    burst=burst,
                    patience=patience,
                )
                ways += [alone, together]
    if not failure:
        skipped["CUDA shared memory"] = cuda_hindrance()
    proof = ServedProof(
        model=published.name,
        version=published.version,
        variant=published.variant,
        samples=len(published.samples),
        ways=tuple(ways),
        skipped=skipped,
        notes=(*published.notes, *_notes(published, ways)),
        failure=failure,
    )
    return proof if proof.passed else proof.model_copy(update={"log": str(server.log_file)})


def _pace(published: PublishedVersion, alone: Way, deadline: float) -> tuple[int, int]:
    """Requests at once, and in all at least: fewer of a slow model, whose last one waits for all
    others.
    """
    seconds = alone.seconds / alone.requests
    at_once = max(2, min(in_flight(published), int(deadline / 4 / seconds)))
    return at_once, min(BURST, int(_LONG_SECONDS / seconds))


def _notes(published: PublishedVersion, ways: Sequence[Way]) -> Iterator[str]:
    """What keeps a way that passed from saying all that it should."""
    cached = sum(way.from_cache for way in ways)
    if cached:
        yield (
            f"the response cache answered {cached} of {sum(way.requests for way in ways)} "
            "requests in place of the model: prove it without the running service"
        )
        return
    alone = [w.transport for w in ways if w.together and w.passed and not w.joined]
    if published.joins and alone:
        yield (
            f"the server answered each request before the next one came over {', '.join(alone)}: "
            "no batch formed"
        )
