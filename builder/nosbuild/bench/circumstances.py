"""A client goes in; what figures depend on beside the load comes out: machine, versions."""

from __future__ import annotations

from nosbuild.bench.result import Machine
from nosbuild.plan.host import host_facts, version_of
from nosbuild.version import VERSION
from nosclient import Client, NosClientError


def this_machine() -> Machine:
    """From which the load comes."""
    facts = host_facts()
    return Machine(processor=facts.cpu_model, cpus=facts.cpus, memory_bytes=facts.memory_bytes)


def versions_of(client: Client) -> dict[str, str]:
    """Name -> version; Triton's is empty where the server does not tell it."""
    try:
        triton = client.get_service_info().version
    except NosClientError:  # that API may be restricted, where inference is not
        triton = ""
    return {"nosbuild": VERSION, "nosclient": version_of("nosclient"), "triton": triton}
