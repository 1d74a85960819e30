"""The gallery of ready-made models: a name goes in, a model folder to build comes out."""

from nosbuild.hub.catalogue import HubModel, find, models
from nosbuild.hub.copying import copy_to

__all__ = ["HubModel", "copy_to", "find", "models"]
