"""Makes what an image's build has installed small: run once, as the last step of a stage.

Standard library and binutils. Two arguments: the virtual environment of nosbuild, and nosbuild's
cache folder, in which the server's environment lies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_USED_BY_NOSBUILD = (
    "http.client",
    "nosbuild.cli.app",
    "nosbuild.cli.exits",
    "nosbuild.cli.manager_table",
    "nosbuild.cli.printing",
    "nosbuild.cli.serve",
    "nosbuild.runtime",
    "nosbuild.runtime.managed_models",
    "nosclient",
    "rich.console",
    "rich.status",
    "tritonclient.grpc",
    "tritonclient.grpc.model_config_pb2",
)
_USED_BY_BACKENDS = ("numpy", "onnxruntime", "asyncio", "multiprocessing.shared_memory")


def main(nosbuild: Path, cache: Path) -> None:
    """Everything, in the order in which it must happen."""
    (server,) = (cache / "server").glob("*/triton")
    server = server.parent
    (site,) = (server / "python/lib").glob("python3.*/site-packages")
    minor = site.parent.name.removeprefix("python")
    _share_numpy(site, nosbuild / "lib" / f"python{minor}" / "site-packages")
    for path in _unused(server, site, minor):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in cache.iterdir():
        if path.name not in ("server", "backends"):
            shutil.rmtree(path)
    for lock in cache.glob("*/*.lock"):
        lock.unlink()
    # ml_dtypes comes with 23 MB of debugging symbols. What auditwheel has patched stays as it is.
    for library in nosbuild.glob("lib/*/site-packages/ml_dtypes/*.so"):
        subprocess.run(["strip", "--strip-debug", library], check=True)
    # One place for compiled code, as servers have it: what stands beside sources is not read.
    for root in (nosbuild, cache):
        for compiled in list(root.rglob("__pycache__")):
            shutil.rmtree(compiled)
    _compile(nosbuild / "bin/python", _USED_BY_NOSBUILD, cache)
    _compile(server / "python/bin/python3", _USED_BY_BACKENDS, cache)


def _share_numpy(site: Path, other: Path) -> None:
    """One numpy for nosbuild and for the backends: it is 70 MB."""
    for path in site.glob("numpy*"):
        if path.name in ("numpy", "numpy.libs") or path.suffix == ".dist-info":
            (other / path.name).symlink_to(path)


def _unused(server: Path, site: Path, minor: str) -> Iterator[Path]:
    """What no server here can use."""
    triton = server / "triton"
    for stub in (triton / "pytriton/tritonserver/python_backend_stubs").iterdir():
        if stub.name != minor:
            yield stub
    # The library of the one Python that has none on most machines.
    yield from (path for path in (triton / "nvidia_pytriton.libs").glob("libpython3*"))
    yield from [path for path in (site / "numpy").rglob("tests") if path.is_dir()]
    # Tools of a build; and for programs in C, what the Python module has inside itself (35 MB).
    for name in ("transformers", "datasets", "capi/libonnxruntime.so*"):
        yield from (site / "onnxruntime").glob(name)


def _compile(python: Path, modules: tuple[str, ...], cache: Path) -> None:
    code = "import sys; sys.pycache_prefix = sys.argv[1]\n" + "\n".join(
        f"import {module}" for module in modules
    )
    environment = {**os.environ, "NOSBUILD_CACHE": "/tmp/none"}
    subprocess.run([python, "-c", code, cache / "pycache"], check=True, env=environment)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
