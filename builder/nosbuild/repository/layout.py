"""Where everything of a model lies in a Triton model repository.

    <repository>/<model>/
        model.yaml             the user's
        config.pbtxt           Triton's; which versions it names is what is published
        warmup/                raw tensors that config.pbtxt's model_warmup reads
        environments/          of a Python model: the environments that its versions run in,
                               as links into the cache, or packed
        triton_python_backend_stub   link to Triton's worker, for another Python than the server's
        report.html            the same for people, of the newest version
        reproduce/             a script for each step of the build, to run it alone
        .publish.lock          held by whoever publishes
        <version>/             immutable once it bears its number
            model.onnx         the artifact; of a Python model model.py, nos_python_model/,
                               binding.json and source/
            nos.lock           what went into it
            golden/            samples and the source's answers
            report.json        every variant that was tried
            refused.json       why a running server did not take it up; such a one is not served

Format of the repository: Triton's docs/user_guide/model_repository.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nosbuild.errors import RepositoryError

CONFIG = "config.pbtxt"
LOCK = "nos.lock"
GOLDEN = "golden"
REPORT = "report.json"
REFUSED = "refused.json"
PAGE = "report.html"
WARMUP = "warmup"
REPRODUCE = "reproduce"
ENVIRONMENTS = "environments"
STUB = "triton_python_backend_stub"
PUBLISH_LOCK = ".publish.lock"
STAGING_PREFIX = ".staging-"


@dataclass(frozen=True)
class ModelFolder:
    """One model's folder in a repository."""

    path: Path

    @property
    def name(self) -> str:
        """The model's name; Triton demands that it equals the folder's."""
        return self.path.name

    @property
    def config(self) -> Path:
        """Its config.pbtxt."""
        return self.path / CONFIG

    @property
    def is_built(self) -> bool:
        """True where there is something for Triton to load."""
        return self.config.is_file()

    @property
    def has_spec(self) -> bool:
        """True where there is something to build."""
        return (self.path / "model.yaml").is_file()

    def version(self, number: int) -> Path:
        """The folder of a version."""
        return self.path / str(number)

    def versions(self) -> list[int]:
        """Numbers of the version folders, ascending; Triton takes only such as are all digits."""
        if not self.path.is_dir():
            return []
        return sorted(
            int(entry.name)
            for entry in self.path.iterdir()
            if entry.is_dir() and entry.name.isdigit() and not entry.name.startswith("0")
        )

    def own_data(self) -> list[Path]:
        """The user's files that are neither Python nor prose: weights, labels, tables."""
        return [file for file in self.own_files() if file.suffix not in (".py", ".md")]

    def own_files(self) -> list[Path]:
        """The user's files, by name: all that no build made, but for the model.yaml and what is
        hidden.
        """
        built = {CONFIG, WARMUP, REPRODUCE, ENVIRONMENTS, STUB, PAGE, "model.yaml"}
        built |= set(map(str, self.versions()))
        found = []
        for entry in sorted(self.path.iterdir()):
            if entry.name not in built:
                found += [entry] if entry.is_file() else sorted(entry.rglob("*"))
        readable = (file for file in found if file.is_file() and os.access(file, os.R_OK))
        return [file for file in readable if not self._is_hidden(file)]

    def _is_hidden(self, file: Path) -> bool:
        parts = file.relative_to(self.path).parts
        hidden = any(part.startswith((".", "__pycache__")) for part in parts)
        return hidden or file.suffix == ".pyc"


def model_folders(repository: Path) -> list[ModelFolder]:
    """Every folder of a repository that holds a model.yaml or a config.pbtxt, by name."""
    if not repository.is_dir():
        return []
    folders = [ModelFolder(path) for path in sorted(repository.iterdir()) if path.is_dir()]
    return [folder for folder in folders if folder.is_built or folder.has_spec]


def known_models(repository: Path) -> list[ModelFolder]:
    """The same, of a repository that must hold some.

    Raises:
        RepositoryError: no such folder, or no model in it.
    """
    folders = model_folders(repository)
    if not folders:
        what = "holds no model" if repository.is_dir() else "does not exist"
        raise RepositoryError(
            f"{repository} {what}", "Name a folder with one folder a model (nosbuild new my_model)."
        )
    return folders
