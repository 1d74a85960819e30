"""A Triton that is installed already, as in NVIDIA's containers: its own backends, none of ours.

``NOSBUILD_TRITON`` names its folder, which holds ``bin/tritonserver`` and ``backends/``; NVIDIA's
is ``/opt/tritonserver``. Its Python backend runs on the ``python3`` that is first on PATH.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from nosbuild.environments.interpreters import examine
from nosbuild.environments.model_environment import NOT_INHERITED, environments_folder
from nosbuild.errors import HostError
from nosbuild.runtime.environment import NO_TELEMETRY, ServerEnvironment
from nosbuild.store.folders import cache_folder

TRITON_VARIABLE = "NOSBUILD_TRITON"
"""Environment variable that names the folder."""

_REMEDY = f"Name the folder that holds bin/ and backends/ in {TRITON_VARIABLE}, or unset it."


@dataclass(frozen=True)
class InstalledServer(ServerEnvironment):
    """Where everything lies of a Triton that somebody else has installed in ``folder``."""

    @property
    def tritonserver(self) -> Path:
        """The server's executable."""
        return self.folder / "bin/tritonserver"

    @property
    def caches(self) -> Path:
        """For ``--cache-directory``."""
        return self.folder / "caches"

    @property
    def python(self) -> Path:
        """The interpreter that runs inside Triton's Python backend."""
        return self.interpreter.executable

    def stub(self, minor: tuple[int, int]) -> Path:
        """What starts a worker; it has one for its own Python only.

        Raises:
            HostError: for another.
        """
        if minor != self.interpreter.minor:
            has, wanted = ("{}.{}".format(*one) for one in (self.interpreter.minor, minor))
            raise HostError(
                f"the Triton in {self.folder} starts workers of Python {has} only, not {wanted}",
                f'Write python: "{has}" in the model.yaml and build it again.',
            )
        return self.backends / "python/triton_python_backend_stub"

    def variables(self) -> dict[str, str]:
        """The environment variables of the server process: those that its image sets."""
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        return {
            **NO_TELEMETRY,
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPYCACHEPREFIX": str(cache_folder() / "pycache"),
            "NOSBUILD_ENVIRONMENTS": str(environments_folder()),
        }


def installed_server() -> InstalledServer | None:
    """The one that ``NOSBUILD_TRITON`` names; None where it names none.

    Raises:
        HostError: there is no Triton, or no Python that its workers can run on.
    """
    if not (chosen := os.environ.get(TRITON_VARIABLE)):
        return None
    folder = Path(chosen).expanduser().absolute()
    for needed in ("bin/tritonserver", "backends"):
        if not (folder / needed).exists():
            raise HostError(f"{TRITON_VARIABLE}={chosen}: there is no {folder / needed}", _REMEDY)
    python = shutil.which("python3")
    found = examine(Path(python)) if python else "is not on PATH"
    if isinstance(found, str):
        raise HostError(
            f"the Triton in {folder} needs a Python: {python or 'python3'} {found}",
            "Install one with its shared library, and put it first on PATH.",
        )
    return InstalledServer(folder, found, folder / "backends")
