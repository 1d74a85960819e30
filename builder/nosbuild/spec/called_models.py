"""A spec goes in; the other models that it calls, and where it says so, come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nosbuild.spec.model_spec import ModelSpec
    from nosbuild.spec.yaml_source import KeyPath


def called_models(spec: ModelSpec) -> dict[str, KeyPath]:
    """Name of every model that the spec calls -> where its model.yaml first says so.

    A pipeline calls the models of its steps, a Python class those that ``models:`` names.
    """
    placed: list[tuple[str, KeyPath]] = [
        (step.model, ("source", "pipeline", position, "model"))
        for position, step in enumerate(spec.source.steps)
    ]
    placed += [(name, ("models", position)) for position, name in enumerate(spec.models)]
    calls: dict[str, KeyPath] = {}
    for name, key in placed:
        calls.setdefault(name, key)
    return calls


def model_of(name: str) -> tuple[str, ...]:
    """The folders that a model's model.yaml may be in: its own; of another method of a class
    (``summary.stream``) that of the class.
    """
    owner = name.rpartition(".")[0]
    return (name, owner) if owner else (name,)
