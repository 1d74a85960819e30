"""A variant goes in; how its marks look in every plot comes out."""

from __future__ import annotations

from nosbuild.report.build_report import VariantReport

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""Those with a colour of their own."""


def color(variant: VariantReport) -> str:
    """The class that gives the colour: by precision, so that few colours tell much."""
    if variant.verdict == "source":
        return "source"
    return variant.precision if variant.precision in PRECISIONS else "other"


def looks(variant: VariantReport) -> str:
    """Classes of a mark: its colour, and hollow where it may not be published."""
    hollow = variant.verdict in ("refused", "skipped", "unproven")
    return f"{color(variant)}{' hollow' * hollow}"
