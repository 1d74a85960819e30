"""Step functions of a Python class, run in a child: (spec, out, arguments) in, JSON comes out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosbuild.steps.functions import complete

if TYPE_CHECKING:
    from nosbuild.source.python_class import PythonClass
    from nosbuild.spec import ModelSpec
    from nosbuild.steps.member_calls import MemberCalls


def package(
    spec: ModelSpec,
    out: Path,
    files: list[str],
    environment: dict[str, Any],
    models: str,
) -> dict[str, Any]:
    """A version folder for each method, and what it takes and gives; ``models``: a repository."""
    from nosbuild.environments.locked import LockedEnvironment
    from nosbuild.export.python_model import package as packaged

    members: dict[str, Any] = {}
    if spec.models:
        from nosbuild.steps.member_calls import described_members
        from nosbuild.steps.members import members_of

        members = described_members(members_of(spec, Path(models)))
    locked = LockedEnvironment.from_json(environment, str(spec.file))
    return packaged(spec, out, files, locked, members)


def python_references(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    method: str,
    tensors: dict[str, Any],
    models: str,
    device: str,
    elsewhere: list[str],
) -> dict[str, Any]:
    """What the method answers to every sample, called plainly."""
    from nosbuild.verify.python_references import collect_answers

    known = method_spec(spec, method, tensors)
    with _opened(spec, artifact, models, device) as source:
        return collect_answers(known, source, out, elsewhere=elsewhere, images=tensors["images"])


def python_prove(
    spec: ModelSpec,
    out: Path,
    artifact: str,
    method: str,
    tensors: dict[str, Any],
    models: str,
    device: str,
    references: str,
    variant: str,
) -> dict[str, Any]:
    """The Proof of the adapter, and the Memory of the class's process."""
    from nosbuild.verify.memory import memory_of_process
    from nosbuild.verify.python_proof import prove_class
    from nosbuild.verify.references import read_references

    known = method_spec(spec, method, tensors)
    with _opened(spec, artifact, models, device) as source:
        answers = read_references(Path(references))
        proof = prove_class(known, source, Path(artifact), variant, answers)
        memory = memory_of_process(source.pid, max(proof.batches))
    return {"proof": proof.model_dump(mode="json"), "memory": memory.model_dump(mode="json")}


def method_spec(spec: ModelSpec, method: str, tensors: dict[str, Any]) -> ModelSpec:
    """The spec of the Triton model that one method is, its tensors known.

    Args:
        spec: of the class.
        method: the first of ``methods`` has the model's own name, others ``<name>.<method>``.
        tensors: as the package step described them.

    Raises:
        SpecError: the rest of the spec does not fit them.
    """
    from nosbuild.source.load import check_batch

    update: dict[str, Any] = {}
    if method != spec.methods[0]:
        update["name"] = f"{spec.name}.{method}"
    if tensors["streams"]:
        update["batching"] = None  # each request has an answer of its own
    known = complete(spec.model_copy(update=update), tensors)
    check_batch(known)
    return known


def other_inputs(methods: dict[str, Any], method: str) -> Collection[str]:
    """Inputs of the other methods."""
    return sorted(
        {row["name"] for name, one in methods.items() if name != method for row in one["inputs"]}
    )


@contextmanager
def _opened(spec: ModelSpec, artifact: str, models: str, device: str) -> Iterator[PythonClass]:
    from nosbuild.source.python_class import PythonClass

    calls: MemberCalls | None = None
    if spec.models:  # what reads and runs models takes a second to import
        from nosbuild.steps import member_calls
        from nosbuild.steps.members import members_of, open_member

        calls = member_calls.MemberCalls(members_of(spec, Path(models)), open_member)
    try:
        with PythonClass(Path(artifact), calls, device=device) as source:
            yield source
    finally:
        if calls is not None:
            calls.close()
