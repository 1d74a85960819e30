"""A VerifiedVariant and what a build found out go in; a published version comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nosbuild.repository.layout import PAGE, REPRODUCE
from nosbuild.repository.lock import spec_content, spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.steps.result import BuildResult, StepOutcome
from nosbuild.version import VERSION

if TYPE_CHECKING:
    from nosbuild.plan import BuildPlan
    from nosbuild.report.build_report import BuildReport
    from nosbuild.spec import ModelSpec
    from nosbuild.steps.cached import CachedSteps
    from nosbuild.verify.variant import VerifiedVariant


def publish_variant(
    steps: CachedSteps,
    written: ModelSpec,
    plan: BuildPlan,
    variant: VerifiedVariant,
    report: BuildReport,
    complete: ModelSpec,
    repository: Path,
    artifact_bytes: int,
    notes: Sequence[str] = (),
) -> BuildResult:
    """Publish as ``repository/<name of complete>``.

    Args:
        steps: of this build.
        written: the spec without what the command line says otherwise.
        plan: of this build.
        variant: what is published.
        report: every variant beside it.
        complete: the spec with its tensors known.
        repository: Triton's model repository.
        artifact_bytes: size of the artifact.
        notes: what its user should know.
    """
    origins = Origins(
        spec_digest=spec_digest(written),
        steps=steps.keys,
        read=steps.read,
        host=steps.host,
        nosbuild=VERSION,
        spec=spec_content(written),
    )
    started = time.monotonic()
    text = report.model_dump_json(indent=1)
    published = publish(variant, complete, repository, origins, text)
    as_it_was = published.is_unchanged and all(one.cached for one in steps.outcomes)
    if not (as_it_was and (published.folder / PAGE).is_file()):
        from nosbuild.report.page_file import write_page  # a template engine

        write_page(published.folder, report, published.version)
    steps.write_scripts(published.folder / REPRODUCE)
    seconds = time.monotonic() - started
    steps.done(
        StepOutcome("publish", published.is_unchanged, published.why, seconds, complete.name)
    )
    return BuildResult(
        name=complete.name,
        folder=published.folder,
        version=published.version,
        is_new=published.is_new,
        replaced=published.replaced,
        artifact_bytes=artifact_bytes,
        proof=variant.proof,
        measurement=variant.measurement,
        report=report,
        plan=plan,
        steps=tuple(steps.outcomes),
        notes=tuple(filter(None, (*notes, published.note))),
    )
