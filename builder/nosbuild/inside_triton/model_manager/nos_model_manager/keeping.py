"""What the manager knows and Triton does not, to and from JSON-able data.

The manager is a model, too, which may be loaded again: pins, counts and sizes outlive that.
"""


def kept(residents, budget):
    """All of it."""
    models = {
        one.name: {
            "bytes": one.needs if one.is_observed else 0,
            "pinned": one.pinned,
            "loads": one.loads,
            "evictions": one.evictions,
            "load_seconds": one.load_seconds,
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
            if facts["bytes"]:
                one.observe(int(facts["bytes"]))
