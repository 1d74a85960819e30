"""Step functions of a pipeline, run in a child: (spec, out, arguments) in, JSON-able result out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.export.pipeline_graph import Graph
from nosbuild.steps.functions import complete
from nosbuild.steps.members import (
    composed,
    members_beside,
    members_of,
    members_within,
    open_member,
    padding_of,
)
from nosbuild.steps.originals import open_originals

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def pipeline_compile(spec: ModelSpec, out: Path, repository: str) -> dict[str, Any]:
    """``out/pipeline.json``; the tensors, as the models at its ends tell them."""
    from nosbuild.export.pipeline import compile_pipeline

    members = members_of(spec, Path(repository))
    compiled = compile_pipeline(spec, {**members_within(members.values()), **members})
    compiled.graph.write(out)
    return compiled.as_data()


def pipeline_references(
    spec: ModelSpec, out: Path, repository: str, artifact: str, tensors: dict[str, Any]
) -> dict[str, Any]:
    """The answers of the original sources, passing values on, to every sample."""
    from nosbuild.verify.pipeline_references import collect_pipeline_answers

    known, graph = complete(spec, tensors), Graph.read(Path(artifact))
    source = open_originals(
        graph,
        members_beside(graph.models, Path(repository)),
        known.input_tensors or (),
        known.output_tensors or (),
        spec.folder.parent,
    )
    try:
        return collect_pipeline_answers(known, source, out)
    finally:
        source.close()


def pipeline_prove(
    spec: ModelSpec,
    out: Path,
    repository: str,
    artifact: str,
    references: str,
    tensors: dict[str, Any],
    variant: str,
) -> dict[str, Any]:
    """The Proof of what is published of every model, passing values on."""
    from nosbuild.verify.pipeline_proof import prove_pipeline
    from nosbuild.verify.references import read_references

    known, graph = complete(spec, tensors), Graph.read(Path(artifact))
    members = members_beside(graph.models, Path(repository))
    runners = {name: open_member(member) for name, member in members.items()}
    runner = composed(
        graph, runners, members, known.input_tensors or (), known.output_tensors or ()
    )
    answers = read_references(Path(references))
    try:
        pad = padding_of(graph, members)
        proof = prove_pipeline(known, runner, Path(artifact), variant, answers, pad)
    finally:
        runner.close()
    return proof.model_dump(mode="json")
