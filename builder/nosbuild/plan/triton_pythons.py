"""Python in NVIDIA's Triton containers, by release."""

from __future__ import annotations

from nosbuild.plan.triton_releases import RELEASES


def python_of(release: str) -> str:
    """The minor version in a release's container, such as ``3.12``.

    A release that the table does not tell of has the Python of the last one before it, and one
    older than all of them that of the oldest.
    """
    known = [name for name, held in RELEASES.items() if held.python]
    last = max((name for name in known if name <= release), default=min(known))
    return RELEASES[last].python.rpartition(".")[0]
