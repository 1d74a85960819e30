"""The details of a built engine and a host go in; why it cannot be served there comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.facts import facts_from, refusal
from nosbuild.plan.gpus import NoGpu

if TYPE_CHECKING:
    from nosbuild.plan.host import HostFacts


def check_engine(details: Mapping[str, Any], host: HostFacts) -> str | None:
    """Whether this machine's GPU can run the engine; None where nothing speaks against it.

    The package that loads it is not judged: the embedded server installs the version that built
    the engine, and the backend looks again before it loads.

    Args:
        details: of ``Made``, as ``nos.lock`` and ``model.engine.json`` keep them.
        host: where it would be served.
    """
    try:
        facts = facts_from(dict(details))
    except (ValueError, TypeError) as error:
        return f"nothing says how the engine was built ({error}); build the model again"
    return refusal(facts, host.gpus or NoGpu(host.no_gpu or "there is none here")) or None
