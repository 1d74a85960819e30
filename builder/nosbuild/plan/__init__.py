"""Plan: a ModelSpec and what this host has go in; a BuildPlan comes out. Pure; it prints itself."""

from nosbuild.plan.build_plan import BuildPlan, Placement, Skip, plan_build
from nosbuild.plan.host import HostFacts, host_facts
from nosbuild.plan.runs_on import RunsOn
from nosbuild.plan.target import Target, target_of
from nosbuild.plan.variants import BASELINE, PlannedVariant

__all__ = [
    "BASELINE",
    "BuildPlan",
    "HostFacts",
    "Placement",
    "PlannedVariant",
    "RunsOn",
    "Skip",
    "Target",
    "host_facts",
    "plan_build",
    "target_of",
]
