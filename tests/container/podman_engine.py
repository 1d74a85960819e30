"""podman's service, with a store and settings of its own, as root and without systemd."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Limits that this process may not raise are not asked for; the events of a machine without
# systemd go to a file.
_SETTINGS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@contextmanager
def podman_service(folder: Path) -> Iterator[str]:
    """The url of a service that can run containers; the test is skipped where it cannot."""
    if os.getuid() != 0:
        pytest.skip("containers are run as root here")
    runtime = next(filter(shutil.which, ("runc", "crun")), None)
    if not (shutil.which("podman") and runtime):
        pytest.skip("apt-get install podman runc")
    settings = folder / "containers.conf"
    limits = {
        "files": _limit(resource.RLIMIT_NOFILE, 16384),
        "processes": _limit(resource.RLIMIT_NPROC, 4096),
    }
    settings.write_text(_SETTINGS.format(runtime=runtime, **limits))
    store = [f"--{name}={folder / name}" for name in ("root", "runroot", "tmpdir")]
    podman = ["podman", *store]
    environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
    address = folder / "podman.sock"
    with (folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            [*podman, "system", "service", "--time=0", f"unix://{address}"],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        deadline = time.monotonic() + 30
        while not address.exists() and service.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if not address.exists():
            pytest.skip(f"podman's service does not start: {(folder / 'podman.log').read_text()}")
        yield f"unix://{address}"
    finally:
        service.terminate()
        service.wait()
        for command in (["rm", "--all", "--force"], ["rmi", "--all", "--force"]):
            subprocess.run([*podman, *command], capture_output=True, env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _limit(which: int, enough: int) -> int:
    hard = resource.getrlimit(which)[1]
    return enough if hard == resource.RLIM_INFINITY else min(hard, enough)
