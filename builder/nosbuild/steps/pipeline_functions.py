"""Step functions of a pipeline, run in a child: (spec, out, arguments) in, JSON-able result out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.export.pipeline_graph import PIPELINE_FILE, Graph
from nosbuild.steps.functions import complete
from nosbuild.steps.members import composed, members_beside, members_of, open_member
from nosbuild.steps.originals import open_originals
from nosbuild.store.hashing import sha256_of_file

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


def pipeline_compile(spec: ModelSpec, out: Path, repository: str) -> dict[str, Any]:
    """``out/pipeline.json``; the tensors, as the models at its ends tell them."""
    from nosbuild.export.pipeline import compile_pipeline

    compiled = compile_pipeline(spec, members_of(spec, Path(repository)))
    compiled.graph.write(out)
    return compiled.as_data()


def pipeline_references(
    spec: ModelSpec, out: Path, repository: str, artifact: str, tensors: dict[str, Any]
) -> dict[str, Any]:
    """The answers of the original sources, passing values on, to every sample."""
    from nosbuild.verify.references import collect_references

    known, graph = complete(spec, tensors), Graph.read(Path(artifact))
    source = open_originals(
        graph,
        members_beside(graph.called, Path(repository)),
        known.input_tensors or (),
        known.output_tensors or (),
        spec.folder.parent,
    )
    try:
        return collect_references(known, out, source)
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
    from nosbuild.verify.references import read_references
    from nosbuild.verify.run import prove

    known, graph = complete(spec, tensors), Graph.read(Path(artifact))
    members = members_beside(graph.called, Path(repository))
    runners = {name: open_member(member) for name, member in members.items()}
    runner = composed(
        graph, runners, members, known.input_tensors or (), known.output_tensors or ()
    )
    try:
        proof = prove(known, runner, Path(artifact), variant, read_references(Path(references)))
    finally:
        runner.close()
    files = {PIPELINE_FILE: sha256_of_file(Path(artifact) / PIPELINE_FILE)}
    return proof.model_copy(update={"artifact": files}).model_dump(mode="json")
