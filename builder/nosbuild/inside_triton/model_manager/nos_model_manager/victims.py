"""Who has to go for others: the least recently used, with those that call it.

Plain LRU: what a load costs differs little between models (most of it is the start of a process,
and an unload takes Triton a second for each), and an ensemble has no bytes of its own, so that
weighing by bytes would keep it, and all that it calls, for ever.
"""

from .sizes import Sizes


def choose(shortage, ready, callers, may_go):
    """The models to unload so that ``shortage`` bytes become free; None where that cannot be.

    Args:
        shortage: Sizes.
        ready: the Residents that could go, those protected left out.
        callers: name -> Residents that call it and are not gone.
        may_go: Resident -> False for one that was loaded or used a moment ago.
    """
    going = []
    freed = Sizes()
    left = sorted(ready, key=lambda one: (one.used_at, one.name))
    while not shortage.fits(freed.of(shortage)):
        names = {one.name for one in going}
        chosen = next(
            (
                one
                for one in left
                if may_go(one) and all(caller.name in names for caller in callers(one.name))
            ),
            None,
        )
        if chosen is None:
            return None
        left.remove(chosen)
        going.append(chosen)
        freed = freed + chosen.charge
    return _needed(going, (freed - shortage).of(shortage), callers)


def _needed(going, spare, callers):
    """Without those that need not go: an old one that is small, once a large one was found."""
    kept = list(going)
    for one in going:
        rest = [other for other in kept if other is not one]
        is_called = {caller.name for other in rest for caller in callers(other.name)}
        if one.charge.fits(spare) and one.name not in is_called:
            kept = rest
            spare = (spare - one.charge).of(spare)
    return kept
