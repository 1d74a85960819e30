"""A spec that calls other models, and a repository, go in; those models, ready to run, come out.

A pipeline calls the models of its steps, a Python class those that ``models:`` names. Triton
serves them from the same repository; a build runs what is published of them, in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.errors import SpecError
from nosbuild.export.pipeline_graph import Graph
from nosbuild.repository.layout import ModelFolder, model_folders
from nosbuild.repository.member import Member, read_member
from nosbuild.spec.called_models import called_models, model_of
from nosbuild.spec.problems import did_you_mean
from nosbuild.steps.member_calls import MemberCalls
from nosbuild.verify.pipeline_runner import PipelineRunner, RunningStage, Runs
from nosbuild.verify.python_runner import PythonRunner
from nosbuild.verify.runner import Runner, open_runner

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec
    from nosbuild.spec.padding import PadValue
    from nosbuild.spec.yaml_source import KeyPath
    from nosbuild.tensors import TensorSpec

__all__ = ["Member", "called_models", "members_beside", "members_of", "open_member"]


def members_of(spec: ModelSpec, repository: Path) -> dict[str, Member]:
    """The models that the spec calls, by name, in the order it names them.

    Args:
        spec: a pipeline, or a Python class with ``models:``.
        repository: Triton's model repository, where they are built.

    Raises:
        SpecError: some are not there, not built, or keep a state that a class cannot pass on; every
            one of them, with its line.
        RepositoryError: one that is there cannot be read, or no build made it.
    """
    found: dict[str, Member] = {}
    missing: list[SpecError] = []
    for name, key in called_models(spec).items():
        folder = ModelFolder(repository / name)
        if folder.is_built:
            found[name] = read_member(folder)
            if found[name].stateful and spec.source.kind == "python":
                missing.append(_stateful(spec, name, key))
        else:
            missing.append(_missing(spec, repository, name, key))
    if missing:
        raise SpecError(spec.file, [problem for error in missing for problem in error.problems])
    return found


def members_beside(names: Iterable[str], repository: Path) -> dict[str, Member]:
    """Models of a repository by name, for what is published itself: it has no model.yaml.

    Raises:
        RepositoryError: one of them is not there, cannot be read, or no build made it.
    """
    return {name: read_member(ModelFolder(repository / name)) for name in dict.fromkeys(names)}


def members_within(members: Iterable[Member]) -> dict[str, Member]:
    """The models that pipelines among the members call.

    Raises:
        RepositoryError: one of them is not there, or cannot be read.
    """
    found: dict[str, Member] = {}
    for member in members:
        if member.graph is not None:
            found |= members_beside(member.graph.models, member.repository)
    return found


def open_member(member: Member) -> Runner:
    """What runs a member here as Triton would; arrays have the batch axis where it is batched.

    Raises:
        HostError: this machine cannot run it.
        Refused: it would run on something else than in Triton.
        RepositoryError: a model that it calls is not there.
    """
    if (graph := member.graph) is not None:
        members = members_beside(graph.models, member.repository)
        runners = {name: open_member(one) for name, one in members.items()}
        return composed(graph, runners, members, member.inputs, member.outputs)
    if member.calls:  # a Python class
        called = members_beside(member.calls, member.repository)
        return PythonRunner(member.folder, MemberCalls(called, open_member))
    return open_runner(member.folder, member.runs_on)


def composed(
    graph: Graph,
    runners: Mapping[str, Runs],
    members: Mapping[str, Member],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> PipelineRunner:
    """Models that pass values on.

    Args:
        graph: of the pipeline.
        runners: what runs each model.
        members: the models.
        inputs: of the pipeline.
        outputs: of the pipeline.
    """
    stages = [
        RunningStage(
            stage, runners[stage.model], members[stage.model].inputs, members[stage.model].outputs
        )
        for stage in graph.stages
    ]
    return PipelineRunner(stages, inputs, outputs, streams=graph.decoupled)


def padding_of(graph: Graph, members: Mapping[str, Member]) -> dict[str, PadValue]:
    """Tensor of a pipeline -> what the model that makes it fills its rows up with in a batch.

    Args:
        graph: of the pipeline.
        members: the models of its stages.
    """
    return {
        tensor: members[stage.model].pad[name]
        for stage in graph.stages
        for name, tensor in stage.outputs.items()
        if name in members[stage.model].pad
    }


def unbuilt_members(spec: ModelSpec, repository: Path) -> Mapping[str, Path]:
    """Name -> model folder of those that are not built yet, but could be."""
    return {
        name: folder
        for name in called_models(spec)
        if not ModelFolder(repository / name).is_built
        and (folder := _buildable(spec, repository, name)) is not None
    }


def _buildable(spec: ModelSpec, repository: Path, name: str) -> Path | None:
    """The folder with its model.yaml: in the repository, or beside the caller's own.

    A class with several methods is built as ``name``, ``name.method``, ... from one folder.
    """
    for folder in model_of(name):
        for parent in (repository, spec.folder.parent):
            if ModelFolder(parent / folder).has_spec:
                return parent / folder
    return None


def _stateful(spec: ModelSpec, name: str, key: KeyPath) -> SpecError:
    return spec.error(
        key,
        f"{name} keeps a state for each sequence of requests, and a class's calls are of none",
        f'remove it: clients call it themselves, with client.sequence("{name}"), and send what it '
        "answers",
    )


def _missing(spec: ModelSpec, repository: Path, name: str, key: KeyPath) -> SpecError:
    folder = _buildable(spec, repository, name)
    if folder is not None:
        return spec.error(key, f"{name} is not built yet", f"nosbuild build {folder}")
    there = {other.name for other in model_folders(repository)} - {spec.name}
    otherwise = (
        f"it holds {', '.join(sorted(there))}; add {name} to it, and build it"
        if there
        else f"add {name} to it, and build it: nosbuild build {repository / name}"
    )
    return spec.error(
        key,
        f"there is no model {name!r} in {repository}",
        did_you_mean(name, there, otherwise),
    )
