"""A pipeline's graph goes in; its models' original sources, passing values on, come out.

That is what the pipeline must answer like, whatever variants of its models are published.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import RepositoryError
from nosbuild.export.pipeline_graph import Graph
from nosbuild.repository.layout import LOCK, ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.repository.member import Member
from nosbuild.repository.python_config import PYTHON
from nosbuild.source.load import load_source
from nosbuild.source.python_class import PythonClass
from nosbuild.spec import load_spec
from nosbuild.steps.keys import named_source_files
from nosbuild.steps.member_calls import MemberCalls
from nosbuild.steps.members import composed, members_beside, open_member
from nosbuild.store.hashing import sha256_of_file
from nosbuild.verify.pipeline_runner import PipelineRunner, Runs

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.tensors import TensorSpec

_SOURCE = ("source", "inputs", "outputs")
"""What of a spec makes the source that a build proves its variants against."""


def open_originals(
    graph: Graph,
    members: Mapping[str, Member],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    beside: Path,
) -> PipelineRunner:
    """The composition of the original sources; of a model without its spec, what is published.

    Args:
        graph: of the pipeline.
        members: the models that it calls.
        inputs: of the pipeline.
        outputs: of the pipeline.
        beside: where to look for the specs of models that are published elsewhere.

    Raises:
        RepositoryError: a model's spec was changed since it was built.
        SourceError, HostError: a source does not load.
    """
    runners = {name: _original(member, beside) for name, member in members.items()}
    return composed(graph, runners, members, inputs, outputs)


def original_spec(member: Member, beside: Path) -> ModelSpec | None:
    """The spec that the member was built from; None where it is not there.

    Args:
        member: the model.
        beside: another folder to look for its model.yaml, if its repository has none.

    Raises:
        RepositoryError: it says something else than what was built.
        SpecError: it is broken.
    """
    for parent in (member.repository, beside):
        folder = ModelFolder(parent / member.name)
        if folder.has_spec:
            spec = load_spec(folder.path)
            said = read_lock(member.folder / LOCK).spec
            if said is not None and spec.section(*_SOURCE) != {k: said.get(k) for k in _SOURCE}:
                raise RepositoryError(
                    f"{spec.file} says something else than what {member.name} version "
                    f"{member.version} was built from",
                    f"Build it first: nosbuild build {folder.path}",
                )
            return spec
    return None


def source_digests(members: Mapping[str, Member], beside: Path) -> dict[str, dict[str, str]]:
    """Member -> its original's own files -> sha256: what its answers are made from.

    Raises:
        RepositoryError, SpecError, SourceError: as ``original_spec``; or weights are missing.
    """
    found = {}
    for name, member in members.items():
        if member.backend == PYTHON:
            found[name] = {"the class": member.digest}
            continue
        spec = original_spec(member, beside)
        if spec is not None:
            files = {file: sha256_of_file(file) for file in _own_files(spec)}
            found[name] = {
                **{str(file.relative_to(spec.folder)): digest for file, digest in files.items()},
                **named_source_files(spec),
            }
    return found


def _own_files(spec: ModelSpec) -> Iterator[Path]:
    folder = ModelFolder(spec.folder)
    yield spec.file
    yield from folder.own_data()
    yield from sorted(spec.folder.glob("*.py"))


def _original(member: Member, beside: Path) -> Runs:
    if member.backend == PYTHON:  # the class itself is what is published
        called = members_beside(member.calls, member.repository)
        calls = MemberCalls(called, partial(_original, beside=beside)) if called else None
        return PythonClass(member.folder, calls)
    if (graph := member.graph) is not None:  # a class calls it; a pipeline takes its steps over
        members = members_beside(graph.models, member.repository)
        return open_originals(graph, members, member.inputs, member.outputs, beside)
    spec = original_spec(member, beside)
    if spec is None:
        return open_member(member)
    source, _ = load_source(spec)
    _forget_modules(spec.folder)
    return source


def _forget_modules(folder: Path) -> None:
    """Files of one model import each other by bare names, which another model may have as well."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder and not name.startswith("_nosbuild_user_"):
            del sys.modules[name]
