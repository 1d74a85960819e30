"""``nosbuild build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nosbuild.cli.options import DEFAULT_REPOSITORY, AsJson

if TYPE_CHECKING:
    from nosbuild.cli.build_progress import Failure
    from nosbuild.prove import ServedProof
    from nosbuild.steps import BuildResult


def build(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Model folders, repositories (every model in them), or hub:<name>; "
            f"without any, the repository {DEFAULT_REPOSITORY}.",
            metavar="[MODEL]...",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(
            "--repository", "-r", help="Publish there (default: beside the model's folder)."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            "-p",
            help="Candidates instead of the model.yaml's: auto, or some of fp32,fp16,bf16,int8.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Where it will run: cpu, gpu, triton:26.08 (default: as this machine is).",
            show_default=False,
        ),
    ] = None,
    trust_unproven: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANT",
            help="Publish this one although nothing here can run it (an engine for another GPU).",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Run every step, whatever the cache holds.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Then prove what was published through a real Triton.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option(
            "--pack",
            help="Pack the environments of Python models into the repository, for a Triton in a "
            "container.",
        ),
    ] = False,
    explain: Annotated[bool, typer.Option(help="Say why each step ran, or did not.")] = False,
    step_timeout: Annotated[
        float, typer.Option(help="Seconds that one step may take.", min=1)
    ] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Export models, prove them against the original, publish those that pass."""
    from nosbuild.cli.build_progress import BuildProgress, Failure
    from nosbuild.cli.exits import INTERRUPTED
    from nosbuild.cli.served_proofs import print_proofs
    from nosbuild.errors import InternalError, NosError, Refused
    from nosbuild.steps import build as build_model
    from nosbuild.steps.build_order import build_order

    done: list[BuildResult] = []
    failed: list[Failure] = []
    shown = BuildProgress(explain=explain)
    asked = _folders(models or [str(DEFAULT_REPOSITORY)], repository)
    for to_build in build_order(asked, repository):
        folder = to_build.folder
        if to_build.needed_by:
            shown.needed(folder.name, to_build.needed_by)
        try:
            with shown:
                built = build_model(
                    folder,
                    repository,
                    precision=precision,
                    target=target,
                    trust_unproven=trust_unproven,
                    fresh=fresh,
                    pack=pack,
                    step_timeout=step_timeout,
                    progress=shown,
                )
            done.append(built)
            for result in () if as_json else built.models:
                shown.result(result)
        except InternalError:
            raise
        except NosError as error:
            failed.append(Failure(folder.name, error))
            shown.failed(folder.name, error)
        except KeyboardInterrupt:
            shown.interrupted(folder.name)
            raise typer.Exit(INTERRUPTED) from None
    proofs = _proven_again(done) if prove else []
    if as_json:
        from nosbuild.cli.printing import print_json

        served = {"served": [proof.as_json() for proof in proofs]} if prove else {}
        print_json({**_json(done, failed), **served})
    else:
        shown.summary([model for built in done for model in built.models], failed)
        print_proofs(proofs)
    if failed:
        raise typer.Exit(failed[0].error.exit_code)
    if not all(proof.passed for proof in proofs):
        raise typer.Exit(Refused.exit_code)


def _proven_again(done: list[BuildResult]) -> list[ServedProof]:
    """The golden samples of what was published, through a server of each repository."""
    from nosbuild.cli.served_proofs import proofs_of

    names: dict[Path, list[str]] = {}
    for result in (model for built in done for model in built.models):
        names.setdefault(result.folder.parent, []).append(result.name)
    return proofs_of(names)


def _folders(models: list[str], repository: Path | None) -> list[Path]:
    """The folder of every model named, in order, each once.

    Raises:
        RepositoryError: a folder without any model, or without the repository to build by default.
    """
    from nosbuild.errors import RepositoryError

    found: list[Path] = []
    for name in models:
        if name.startswith("hub:"):
            from nosbuild.hub import copy_to

            found.append(copy_to(name.removeprefix("hub:"), repository or DEFAULT_REPOSITORY))
            continue
        path = Path(name)
        inside = sorted(file.parent for file in path.glob("*/model.yaml"))
        is_default = path == DEFAULT_REPOSITORY and not path.exists()
        if is_default or (path.is_dir() and not inside and not any(path.glob("*.y*ml"))):
            what = "does not exist" if is_default else "holds no model"
            raise RepositoryError(
                f"{name} {what}",
                "Name a model's folder, or start a model: nosbuild new my_model --from torch",
            )
        found += inside if inside and not (path / "model.yaml").exists() else [path]
    return list(dict.fromkeys(found))


def _json(done: list[BuildResult], failed: list[Failure]) -> dict[str, Any]:
    return {
        "built": [result.as_json() for result in done],
        "failed": [failure.as_json() for failure in failed],
    }
