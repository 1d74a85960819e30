"""This machine's own Python, nosbuild and server environment, as a root file system.

It keeps the contract of nosbuild's images without Dockerfiles, a registry or a distribution: entry
point, ports, user 1000, repository at /models. What it needs is found by ldd.
"""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

import nosbuild
import nosclient
from nosbuild.runtime.environment import server_environment
from nosbuild.store.folders import cache_folder

NAME = "localhost/nosbuild/stand-in:1"
UID = 1000
PYTHON = Path(sys.base_prefix).resolve() / "bin" / f"python3.{sys.version_info.minor}"
_LIBRARY = PYTHON.parents[1] / "lib" / f"python3.{sys.version_info.minor}"
_SITE = "/opt/nosbuild"
_CACHE = Path("/var/cache/nosbuild")
"""Not where it is on this machine: links that lead there lead nowhere in the container."""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_SCRIPT = f"""#!{PYTHON}
import sys
sys.path.insert(0, "{_SITE}")
from nosbuild.cli import main
main()
"""
# The shell is process 1 for no longer than it takes to become Python.
ENTRYPOINT = ["nosbuild", "serve", "/models", "--host", "0.0.0.0"]
ENTRYPOINT += ["--http-port", "8000", "--grpc-port", "8001", "--metrics-port", "8002"]
CHANGES = [
    f"ENV PATH=/usr/local/bin:{PYTHON.parent}:/usr/bin:/bin",
    f"ENV NOSBUILD_CACHE={_CACHE}",
    "ENV HOME=/tmp",
    f"ENV PYTHON_VERSION={sys.version_info.major}.{sys.version_info.minor}.0",
    f"USER {UID}:{UID}",
    f"ENTRYPOINT {ENTRYPOINT}".replace("'", '"'),
]


def write_root(file: Path) -> None:
    """Writes the tar file, about 600 MB."""
    server = server_environment(lambda _: None)
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
        root = _Root(archive)
        for path in _programs():
            root.add(path)
        root.tree(_LIBRARY, leave_out={"site-packages", "test", "idlelib", "tkinter", "turtledemo"})
        root.add(PYTHON)
        root.link(PYTHON.with_name("python3"), PYTHON.name)
        for path in PYTHON.parents[1].glob("lib/libpython3*.so*"):
            root.add(path)
        for path in _packages():
            root.tree(path, to=f"{_SITE}/{path.name}")
        for package in (nosbuild, nosclient):
            folder = Path(package.__file__).parent
            root.tree(folder, to=f"{_SITE}/{folder.name}")
        for part in ("", "server", "backends"):
            root.folder(_CACHE / part, 0, 0o1777)
        root.tree(server.folder, to=f"{_CACHE}/server/{server.folder.name}", uid=UID)
        for library in sorted(_libraries(root.binaries)):
            root.add(library)
        root.text("/usr/local/bin/nosbuild", _SCRIPT, 0o755)
        root.text("/etc/passwd", f"root:x:0:0::/:/bin/sh\nnos:x:{UID}:{UID}::/tmp:/bin/sh\n")
        root.text("/etc/group", f"root:x:0:\nnos:x:{UID}:\n")
        for file in (_CERTIFICATES, Path("/etc/pip.conf"), Path("/etc/xdg/pip/constraints.txt")):
            if file.is_file():  # so that pip finds there what it finds here
                root.add(file)
        root.folder(Path("/tmp"), 0, 0o1777)
        root.folder(Path("/models"), UID)


class _Root:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._names: set[str] = set()
        self.binaries: list[Path] = []

    def add(self, path: Path, to: str = "", uid: int = 0) -> None:
        """A file, with what links lead to in its place but for links within a folder."""
        name = (to or str(path)).lstrip("/")
        if name in self._names:
            return
        if path.is_symlink() and len(path.readlink().parts) == 1 and not to:
            self.link(path, str(path.readlink()))
            self.add(path.parent / path.readlink(), uid=uid)
            return
        self._names.add(name)
        entry = tarfile.TarInfo(name)
        source = path.resolve()
        entry.size, entry.uid, entry.gid = source.stat().st_size, uid, uid
        entry.mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
        with source.open("rb") as content:
            if content.read(4) == b"\x7fELF":
                self.binaries.append(source)
            content.seek(0)
            self._archive.addfile(entry, content)

    def tree(self, path: Path, to: str = "", uid: int = 0, leave_out: Iterable[str] = ()) -> None:
        place = to or str(path)
        if not path.is_dir():
            self.add(path, place, uid)
            return
        self.folder(Path(place), uid)
        for entry in sorted(path.iterdir()):
            if entry.name in ("__pycache__", "tests", *leave_out):
                continue
            if entry.is_symlink():
                self.link(Path(place) / entry.name, str(entry.readlink()))
            elif entry.is_dir():
                self.tree(entry, f"{place}/{entry.name}", uid, leave_out)
            else:
                self.add(entry, f"{place}/{entry.name}", uid)

    def link(self, place: Path, target: str) -> None:
        name = str(place).lstrip("/")
        if name not in self._names:
            self._names.add(name)
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            self._archive.addfile(entry)

    def folder(self, place: Path, uid: int, mode: int = 0o755) -> None:
        name = str(place).lstrip("/")
        if name in self._names:
            return
        self._names.add(name)
        for parent in reversed(place.parents[:-1]):
            self.folder(parent, 0)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, uid, uid
        self._archive.addfile(entry)

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        self.folder(Path(name).parent, 0)
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.size, entry.mode = len(content.encode()), mode
        self._archive.addfile(entry, io.BytesIO(content.encode()))


def _programs() -> Iterator[Path]:
    for name in (
        "sh",
        "bash",
        "env",
        "readlink",
        "dirname",
        "tar",
        "mkdir",
        "rm",
        "sed",
        "id",
        "cat",
    ):
        for folder in ("/bin", "/usr/bin"):
            if (path := Path(folder) / name).exists():
                yield path


def _packages() -> Iterator[Path]:
    """What nosbuild and nosclient need without extras, wherever it is installed."""
    waiting, seen = [("nosbuild", frozenset({""})), ("nosclient", frozenset({""}))], set()
    while waiting:
        name, extras = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for text in distribution.requires or ():
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                normalised = re.sub(r"[-_.]+", "-", needed.name).lower()
                waiting.append((normalised, frozenset({"", *needed.extras})))
        if name in ("nosbuild", "nosclient"):
            continue  # the source itself comes along
        tops = {file.parts[0] for file in distribution.files or () if ".." not in file.parts}
        for top in sorted(tops - {"__pycache__"}):
            path = Path(str(distribution.locate_file(top)))
            if path.exists():
                yield path


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Of the system's, those that the binaries are linked with."""
    told = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    found = {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE)}
    brought = (str(PYTHON.parents[1]), str(cache_folder()))
    return {
        path
        for path in found
        if path.exists()
        and not str(path.resolve()).startswith(brought)
        and "site-packages" not in path.parts
    }
