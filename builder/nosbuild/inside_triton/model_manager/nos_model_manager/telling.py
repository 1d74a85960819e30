"""Beliefs go in; what answers tell of them, as JSON-able data, comes out."""

from .residents import READY, UNLOADED
from .sizes import HOST, told, total


def answered(demand, residents, seconds):
    """The model is loaded."""
    return {
        "model": demand.name,
        "state": READY,
        "loaded": list(demand.loaded),
        "seconds": round(seconds, 3),
        **told(total(residents[name].charge for name in demand.closure)),
        "instances": residents[demand.name].count or None,
    }


def status(catalogue, residents, now):
    """Every model, by name; ``bytes`` of one that is not loaded: what it would be given."""
    return {name: _row(residents[name], now) for name in catalogue.names()}


def _row(one, now):
    row = {
        "state": one.state,
        **told(one.needs if one.state == UNLOADED else one.charge),
        "is_estimate": one.is_guess,
        "idle_seconds": None if one.inferred_at is None else round(now - one.inferred_at, 1),
        "loads": one.loads,
        "evictions": one.evictions,
        "load_seconds": round(one.load_seconds, 3),
        "pinned": one.pinned,
        "instances": one.count or None,
        "crashes": one.crashes.number,
    }
    if one.autoscaling:
        row["autoscaling"] = [one.autoscaling.least, one.autoscaling.most]
    if one.failure:
        row["failure"] = one.failure
    if one.leftover:
        row["not_returned"] = told(one.leftover)
    if one.crashes.last:
        row["last_crash"] = {
            "reason": f"its worker process {one.crashes.last.reason}",
            "seconds_ago": round(now - one.crashes.at, 1),
            "log": list(one.crashes.last.log),
        }
    return row


def budget(room, residents):
    """Of main memory, and of each GPU that has one."""
    used = residents.used()
    data = {
        "budget_bytes": room.budget[HOST],
        "used_bytes": used[HOST],
        "residency_seconds": room.residency,
    }
    gpus = sorted(set(room.budget) - {HOST})
    if gpus:
        data["gpus"] = {
            gpu: {"budget_bytes": room.budget[gpu], "used_bytes": used[gpu]} for gpu in gpus
        }
    return data
