"""Nothing goes in; the TensorRT packages that can build here come out, and why others cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nosbuild.errors import Refused
from nosbuild.inside_triton.backends.tensorrt.tensorrt_engine.library import (
    FLAVOURS,
    LibraryMissing,
    import_flavour,
)
from nosbuild.plan.gpus import NoGpu, gpus
from nosbuild.plan.host import version_of

if TYPE_CHECKING:
    from nosbuild.plan.gpus import Gpu

_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
}
_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class Flavour:
    """One TensorRT that can build engines here."""

    name: str
    """The Python package: tensorrt or tensorrt_rtx."""
    version: str
    library: Any = field(repr=False, compare=False)
    gpu: Gpu | None = None
    """Where it builds for; None where there is none, which only TensorRT-RTX does without."""

    @property
    def title(self) -> str:
        """For people: ``TensorRT-RTX 1.7.1.116``."""
        return f"{_TITLES[self.name]} {self.version}"

    @property
    def requirement(self) -> str:
        """How pip installs this very version; empty where it came another way."""
        for distribution in _DISTRIBUTIONS[self.name]:
            if version := version_of(distribution):
                return f"{distribution}=={version}"
        return ""

    @property
    def times_kernels(self) -> bool:
        """Whether it tries kernels on the GPU, which a timing cache saves.

        TensorRT-RTX compiles on the machine that runs; a timing cache would only make it ask
        for a GPU (release notes of TensorRT-RTX 1.1).
        """
        return self.name == "tensorrt" and self.gpu is not None


@dataclass(frozen=True)
class Builders:
    """What can build engines here."""

    available: tuple[Flavour, ...]
    """The one to prefer first."""
    reasons: dict[str, str]
    """Package -> why it cannot."""


def builders() -> Builders:
    """Try to import each; slow libraries, so in a step's child process."""
    available, reasons = [], {}
    found = gpus()
    for name in FLAVOURS:
        try:
            library = import_flavour(name)
        except LibraryMissing as missing:
            reasons[name] = str(missing)
            continue
        gpu = None if isinstance(found, NoGpu) else found[0]
        flavour = Flavour(name, str(library.__version__), library, gpu)
        if name == "tensorrt" and isinstance(found, NoGpu):
            reasons[name] = f"{flavour.title} builds for the GPU that is there, and {found.reason}"
            continue
        available.append(flavour)
    return Builders(tuple(available), reasons)


def flavour_named(name: str | None) -> Flavour:
    """The flavour of that name, or the best one.

    Raises:
        Refused: it cannot build here; says why.
    """
    found = builders()
    for flavour in found.available:
        if name in (None, flavour.name):
            return flavour
    wanted = [name] if name else list(FLAVOURS)
    reasons = "; ".join(
        found.reasons.get(each, f"{each} is no TensorRT package that nosbuild knows")
        for each in wanted
    )
    raise Refused(
        f"no TensorRT engine can be built here: {reasons}",
        "pip install tensorrt-rtx-cu13 (builds without a GPU), or tensorrt-cu13 on the machine "
        "with the GPU.",
    )
