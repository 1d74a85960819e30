"""NVIDIA's perf_analyzer, from its wheel: kept in the cache folder, run, and its figures read.

It needs two libraries: libcudart.so.12, which a wheel on PyPI has, and Debian's libb64.so.0d,
which is taken from Debian's package where the system has none.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from nosbuild.store.folders import cache_folder

WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12==12.9.79")
PACKAGE = "libb64-0d"


class PerfAnalyzerMissing(Exception):
    """What is missing, and how to get it."""


@dataclass(frozen=True)
class Load:
    """What one run saw."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def perf_analyzer() -> Path:
    """The folder that holds it and its libraries; made on first use.

    Raises:
        PerfAnalyzerMissing: something could not be had.
    """
    folder = cache_folder() / "perf_analyzer-2.50.0"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
            made = Path(staging) / "made"
            made.mkdir()
            _from_wheels(made)
            _from_debian(made)
            made.replace(folder)
    needs = subprocess.run(
        ["ldd", folder / "perf_analyzer"], env=_environment(folder), capture_output=True, text=True
    ).stdout
    missing = [line.split()[0] for line in needs.splitlines() if "not found" in line]
    if missing:
        raise PerfAnalyzerMissing(f"perf_analyzer lacks {', '.join(missing)} on this system")
    return folder


def measure(folder: Path, url: str, model: str, data: Path, callers: int, seconds: float) -> Load:
    """One closed loop over gRPC, of so many seconds in three windows; nothing before them.

    Raises:
        RuntimeError: it did not run; its output.
    """
    with tempfile.TemporaryDirectory() as out:
        table = Path(out) / "loads.csv"
        command = [
            *(folder / "perf_analyzer", "-m", model, "-u", url, "-i", "grpc"),
            *("--concurrency-range", str(callers), "--input-data", data, "-f", table),
            # It takes the mean of three windows when they agree; so wide a limit, and they do.
            *("-p", str(round(1000 * seconds / 3)), "-s", "1000", "-r", "3"),
            *("--percentile", "50", "--verbose-csv"),
        ]
        done = subprocess.run(
            list(map(str, command)), env=_environment(folder), capture_output=True, text=True
        )
        if done.returncode or not table.is_file():
            raise RuntimeError(done.stdout + done.stderr)
        with table.open(newline="") as lines:
            (row,) = csv.DictReader(lines)
    return Load(
        float(row["Inferences/Second"]),
        float(row["p50 latency"]) / 1000,
        float(row["p99 latency"]) / 1000,
    )


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def _from_wheels(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels]
        done = subprocess.run([*command, *WHEELS], capture_output=True, text=True)
        if done.returncode:
            raise PerfAnalyzerMissing(f"pip cannot fetch {', '.join(WHEELS)}:\n{done.stderr}")
        for wheel in Path(wheels).glob("*.whl"):
            with ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if Path(name).name in ("perf_analyzer", "libcudart.so.12"):
                        (folder / Path(name).name).write_bytes(archive.read(name))
    program = folder / "perf_analyzer"
    if not program.is_file():
        raise PerfAnalyzerMissing(f"{WHEELS[0]} carries no perf_analyzer for this system")
    program.chmod(0o755)


def _from_debian(folder: Path) -> None:
    """Its one library, if the system has none; without root."""
    if "libb64.so.0d" in subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout:
        return
    with tempfile.TemporaryDirectory() as place:
        if shutil.which("apt-get") and shutil.which("dpkg-deb"):
            subprocess.run(["apt-get", "download", PACKAGE], cwd=place, capture_output=True)
        packages = list(Path(place).glob("*.deb"))
        if not packages:
            raise PerfAnalyzerMissing(
                f"libb64.so.0d is missing, and Debian's package {PACKAGE} cannot be fetched: "
                f"apt-get install {PACKAGE}"
            )
        subprocess.run(["dpkg-deb", "-x", packages[0], place], check=True)
        for library in Path(place).rglob("libb64.so.0d*"):
            shutil.copy(library, folder / library.name)
