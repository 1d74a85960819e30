"""``nosbuild status``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nosbuild.cli.options import AsJson
from nosbuild.cli.server_options import Server, asks_a_server

if TYPE_CHECKING:
    from nosclient import Client, ModelStatistics, ModelSummary


@asks_a_server
def status(server: Server, as_json: AsJson = False) -> None:
    """Show the running server: its models, their state, and what they have done."""
    from nosbuild.cli.connect import connect
    from nosbuild.cli.manager_table import budget_line, manager_table, told_by
    from nosbuild.runtime import running_services
    from nosbuild.runtime.model_manager import MODEL_MANAGER, has_manager

    client, record = connect(server)
    others = [] if server.url else [other for other in running_services() if other != record]
    with client:
        models = client.list_models()
        told = told_by(client) if has_manager(models) else None
        models = [model for model in models if told is None or model.name != MODEL_MANAGER]
        done = {m.name: _done(client, m.name) for m in models if m.state == "READY"}
    if as_json:
        from nosbuild.cli.printing import print_json

        print_json(
            {
                "service": asdict(record) if record else {"url": server.url},
                "others": [asdict(other) for other in others],
                "models": [_row(model, done.get(model.name)) for model in models],
                **({"manager": told} if told else {}),
            }
        )
        return
    from rich.markup import escape

    from nosbuild.cli.printing import results, table
    from nosbuild.inside_triton.model_manager.nos_model_manager.reasons import clean_reason

    if record:
        lines = (f"Triton [dim]pid {record.pid}[/]", record.repository)
        urls = (record.grpc_url, record.http_url, record.metrics_url)
        results().print("  ".join((*lines, *urls)), soft_wrap=True)
    for other in others:
        results().print(
            f"[dim]not shown:[/] {escape(other.repository)}  "
            f"[dim]nosbuild status --url {other.grpc_url}[/]",
            soft_wrap=True,
        )
    columns = ("model", "version", "state", "requests", "failed", "a batch", "queue", "compute")
    shown = table(*columns)
    for model in models:
        row = _row(model, done.get(model.name))
        colour = "green" if model.state == "READY" else "yellow"
        shown.add_row(
            f"[bold]{model.name}[/]",
            model.version,
            f"[{colour}]{model.state or 'not loaded'}[/]"
            + f"\n{escape(clean_reason(model.reason))}" * bool(model.reason),
            str(row.get("requests", "")),
            str(row.get("failed", "")),
            *(f"{row[key]:.2f}{unit}" if key in row else "" for key, unit in _FIGURES),
        )
    results().print(shown)
    if told:
        results().print(f"\n{budget_line(told)}")
        results().print(manager_table(told))
    # Triton counts them alike.
    results().print(
        "[dim]since each model was loaded; its warm-up requests are counted too. An error that "
        "Python code answers with (a class, a Python-based backend) does not count as failed[/]"
    )


_FIGURES = (("items_a_batch", ""), ("queue_ms", " ms"), ("compute_ms", " ms"))


def _done(client: Client, name: str) -> ModelStatistics | None:
    from nosclient import ModelNotFound, ModelNotReady

    try:
        return client.statistics(name)
    except (ModelNotFound, ModelNotReady):
        return None  # it was unloaded since


def _row(model: ModelSummary, done: ModelStatistics | None) -> dict[str, Any]:
    row: dict[str, Any] = asdict(model)
    if done is None:
        return row
    row |= {"requests": done.success.count, "failed": done.fail.count}
    if done.execution_count:
        row["items_a_batch"] = done.inference_count / done.execution_count
    if done.success.count:
        row["queue_ms"] = done.queue.ns / done.success.count / 1e6
        row["compute_ms"] = done.compute_infer.ns / done.success.count / 1e6
    return row
