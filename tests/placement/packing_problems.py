"""Random packing problems, the same for the same seed: models of four kinds on cards of 80 GiB."""

import random

from nosbuild.placement.packing import Item, Problem

GIB = 2**30
ROOM = 79 * GIB


def _uniform(rng):
    """Anything up to three quarters of a card."""
    return [(1, rng.randrange(ROOM // 50, ROOM * 3 // 4)) for _ in range(rng.randint(4, 14))]


def _models(rng):
    """As models are: many small ones, few large ones, some with several instances."""
    size = [min(ROOM, int(GIB * rng.lognormvariate(2.3, 0.9))) for _ in range(rng.randint(3, 7))]
    return [(rng.randint(1, 3), one) for one in size]


def _two_or_three(rng):
    """Two or three to a card: where first fit decreasing does worst."""
    return [(1, rng.randrange(ROOM // 5, ROOM * 45 // 100)) for _ in range(rng.randint(6, 14))]


def _triplets(rng):
    """Three fill a card to the last byte."""
    found = []
    for _ in range(rng.randint(2, 4)):
        large = rng.randrange(ROOM * 38 // 100, ROOM * 49 // 100)
        middle = rng.randrange(ROOM // 4, (ROOM - large) // 2)
        found += [(1, large), (1, middle), (1, ROOM - large - middle)]
    return found


KINDS = {one.__name__.strip("_"): one for one in (_uniform, _models, _two_or_three, _triplets)}


def problems(count, seed):
    """(kind, Problem), with a card for each instance, so that all fit."""
    rng = random.Random(seed)
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        drawn = KINDS[kind](rng)
        items = tuple(Item(f"m{i}", times, size) for i, (times, size) in enumerate(drawn))
        yield kind, Problem(items, (ROOM,) * sum(item.count for item in items))


def pieces(problem):
    """Sizes of all instances."""
    return [piece.size for piece in problem.pieces]
