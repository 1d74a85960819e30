"""Plan: a ModelSpec and what this host has go in; a BuildPlan comes out. Pure; it prints itself."""

from nosbuild.plan.build_plan import BuildPlan, Placement, PlannedVariant, Skip, plan_build
from nosbuild.plan.host import HostFacts, host_facts

__all__ = [
    "BuildPlan",
    "HostFacts",
    "Placement",
    "PlannedVariant",
    "Skip",
    "host_facts",
    "plan_build",
]
