"""The ``state`` and ``sequence`` sections: what a model keeps from one request to the next."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from nosbuild.spec.serving import Positive, Section


class Sequence(Section):
    """Triton's ``ModelSequenceBatching``: requests of one sequence meet the same instance."""

    strategy: Literal["oldest", "direct"] = "oldest"
    """``oldest`` joins requests of several sequences; ``direct`` gives each sequence a place in the
    batch of its own.
    """
    max_sequences: Positive = 64
    """Of ``oldest``: sequences in work at a time on each instance; others wait."""
    idle_timeout_us: Annotated[StrictInt, Field(ge=1)] = 1_000_000
    """A sequence without a request for so long is ended."""
