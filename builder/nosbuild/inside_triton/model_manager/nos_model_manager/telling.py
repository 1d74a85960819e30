"""Beliefs go in; what answers tell of them, as JSON-able data, comes out."""

from .residents import READY, UNLOADED


def answered(demand, residents, seconds):
    """The model is loaded."""
    return {
        "model": demand.name,
        "state": READY,
        "loaded": list(demand.loaded),
        "seconds": round(seconds, 3),
        "bytes": sum(residents[name].charge for name in demand.closure),
        "instances": residents[demand.name].count or None,
    }


def status(catalogue, residents, now):
    """Every model, by name; ``bytes`` of one that is not loaded: what it would be given."""
    return {name: _row(residents[name], now) for name in catalogue.names()}


def _row(one, now):
    row = {
        "state": one.state,
        "bytes": one.needs if one.state == UNLOADED else one.charge,
        "is_estimate": one.is_guess,
        "idle_seconds": None if one.inferred_at is None else round(now - one.inferred_at, 1),
        "loads": one.loads,
        "evictions": one.evictions,
        "load_seconds": round(one.load_seconds, 3),
        "pinned": one.pinned,
        "instances": one.count or None,
        "crashes": one.crashes.number,
    }
    if one.failure:
        row["failure"] = one.failure
    if one.leftover:
        row["not_returned_bytes"] = one.leftover
    if one.crashes.last:
        row["last_crash"] = {
            "reason": f"its worker process {one.crashes.last.reason}",
            "seconds_ago": round(now - one.crashes.at, 1),
            "log": list(one.crashes.last.log),
        }
    return row
