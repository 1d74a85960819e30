"""What the manager knows and Triton does not, to and from JSON-able data.

The manager is a model, too, which may be loaded again: pins, counts and sizes outlive that.
"""

from .autoscaling import Autoscaling
from .sizes import Sizes


def kept(residents, budget):
    """All of it."""
    models = {
        one.name: {
            "sizes": one.needs if one.is_observed else {},
            "pinned": one.pinned,
            "loads": one.loads,
            "evictions": one.evictions,
            "load_seconds": one.load_seconds,
            "instances": one.instances,
            "autoscaling": one.autoscaling and [one.autoscaling.least, one.autoscaling.most],
            "crashes": one.crashes.number,
            "restarts": one.restarts,
            "is_stuck": one.is_stuck,
        }
        for one in residents.values()
    }
    return {"budget": budget, "models": models}


def restore(data, residents, catalogue):
    """Takes it over; models that there are no more are left out."""
    for name, facts in data["models"].items():
        if name in catalogue:
            one = residents[name]
            one.pinned = bool(facts["pinned"])
            one.loads, one.evictions = int(facts["loads"]), int(facts["evictions"])
            one.load_seconds = float(facts["load_seconds"])
            one.crashes.number, one.restarts = int(facts["crashes"]), int(facts["restarts"])
            one.is_stuck = bool(facts["is_stuck"])
            if facts["autoscaling"]:
                one.autoscaling = Autoscaling(*map(int, facts["autoscaling"]))
            if facts["instances"]:
                one.instances = int(facts["instances"])
                one.become(one.instances)
            if facts["sizes"]:
                one.observe(Sizes(facts["sizes"]))
