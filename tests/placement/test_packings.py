"""Packings beside the optimum, which a search of the tests' own finds."""

import random
from collections import Counter

import pytest
from exact_packing import fewest_bins, most_left
from packing_problems import GIB, ROOM, pieces, problems

from nosbuild.placement import cp_sat, search
from nosbuild.placement.decreasing import pack_into
from nosbuild.placement.lower_bound import at_least
from nosbuild.placement.pack import DECREASING, pack
from nosbuild.placement.packing import BILLION, Item, Problem, least_left

PROBLEMS = list(problems(200, seed=6))
needs_solver = pytest.mark.skipif(not cp_sat.solver_name(), reason="OR-tools is not installed")


@pytest.fixture(scope="module")
def optima():
    return [fewest_bins(pieces(problem), ROOM) for _, problem in PROBLEMS]


def require_packed(problem, packed):
    """Every instance has one place, and nothing is over its room."""
    found = Counter()
    for gpu, there in packed.counts.items():
        found.update(there)
        used = [(item, there.get(item.name, 0)) for item in problem.items]
        assert sum(item.size * count for item, count in used) <= problem.sizes[gpu]
        assert sum(item.time * count for item, count in used) <= problem.time
    assert found == {item.name: item.count for item in problem.items}


@pytest.mark.parametrize("way", ["rules", "search", pytest.param("solver", marks=needs_solver)])
def test_two_hundred_random_problems_beside_the_optimum(optima, way, monkeypatch):
    monkeypatch.setattr(cp_sat, "_WORK_ON_BALANCE", 0.01)  # the number of GPUs is asked here
    if way != "search":  # as where there are too many instances for it
        monkeypatch.setattr(search, "_PIECES", 0)
    used, worst = [], (1.0, "")
    for (kind, problem), optimum in zip(PROBLEMS, optima, strict=True):
        packed = pack(problem, solver=way == "solver")
        require_packed(problem, packed)
        assert (packed.by == DECREASING) == (way != "solver")
        assert packed.at_least <= optimum <= len(packed.counts)
        if packed.is_proven or way != "rules":
            assert len(packed.counts) == optimum
        used.append(len(packed.counts))
        worst = max(worst, (len(packed.counts) / optimum, f"{kind} {len(packed.counts)}"))
    ratio = sum(used) / sum(optima)
    print(f"{way}: {sum(used)} GPUs, optimum {sum(optima)}, {ratio:.4f}; worst {worst}")
    assert ratio <= 1.05
    assert worst[0] <= 1.34


def test_the_optimum_of_the_tests_is_one():
    """By a table of all subsets, which is exact and short, and too slow for more than a few."""
    rng = random.Random(2)
    for _ in range(30):
        sizes = [rng.randrange(1, 100) for _ in range(8)]
        best = [(0, 0)] * 2**8  # bins that are full, and what is in the open one
        for subset in range(1, 2**8):
            ways = []
            for piece, size in enumerate(sizes):
                if subset >> piece & 1:
                    bins, filled = best[subset ^ 1 << piece]
                    fits = filled + size <= 100
                    ways.append((bins, filled + size) if fits else (bins + 1, size))
            best[subset] = min(ways)
        assert fewest_bins(sizes, 100) == best[-1][0] + 1


def test_the_bound_is_never_above_the_optimum_and_often_it(optima):
    bounds = [at_least(problem) for _, problem in PROBLEMS]
    assert all(bound <= best for bound, best in zip(bounds, optima, strict=True))
    assert sum(bound == best for bound, best in zip(bounds, optima, strict=True)) > 150


@pytest.mark.parametrize("solver", [False, pytest.param(True, marks=needs_solver)])
def test_what_rules_of_thumb_miss_is_searched_for_and_proven(solver, monkeypatch):
    found_by_rules = 0
    rng = random.Random(3)
    if solver:
        monkeypatch.setattr(search, "_PIECES", 0)
    for _ in range(30):
        # 4 GPUs, filled to the last byte by cuts at random: nothing but the right sets fits.
        sizes = []
        for _ in range(4):
            cuts = sorted(rng.sample(range(1, 1000), 2))
            sizes += [b - a for a, b in zip([0, *cuts], [*cuts, 1000], strict=True)]
        problem = Problem(tuple(Item(f"m{i}", 1, s) for i, s in enumerate(sizes)), (1000,) * 6)
        packed = pack(problem, solver=solver)
        require_packed(problem, packed)
        assert (len(packed.counts), packed.is_proven) == (4, True)
        found_by_rules += pack_into(problem, range(4)) is not None
    assert found_by_rules < 30


def test_a_search_that_takes_too_long_decides_nothing(monkeypatch):
    monkeypatch.setattr(search, "_NODES", 3)
    sizes = [44, 24, 24, 22, 21, 17, 8, 8, 6, 6]
    problem = Problem(tuple(Item(f"m{i}", 1, s) for i, s in enumerate(sizes)), (61,) * 3)
    searched = search.search(problem, range(3))
    assert (searched.counts, searched.is_impossible) == (None, False)


@needs_solver
def test_the_solver_balances_as_well_as_can_be():
    rng = random.Random(8)
    for _ in range(12):
        sizes = [rng.randrange(10, 60) for _ in range(9)]
        problem = Problem(tuple(Item(f"m{i}", 1, s) for i, s in enumerate(sizes)), (100,) * 9)
        packed = pack(problem)
        assert least_left(problem, packed.counts) == most_left(sizes, 100, len(packed.counts))


def test_rules_of_thumb_balance_too():
    problem = Problem((Item("a", 2, 40), Item("b", 4, 20)), (100, 100))
    assert least_left(problem, pack(problem, solver=False).counts) == 20


def test_gpus_of_two_sizes_are_numbered_as_given_and_the_largest_taken_first():
    problem = Problem((Item("large", 1, 70), Item("small", 2, 10)), (24, 80, 80))
    packed = pack(problem)
    require_packed(problem, packed)
    assert len(packed.counts) == 2
    assert 0 not in packed.counts or "large" not in packed.counts[0]
    assert pack(Problem((Item("x", 3, 25),), (24, 80))).counts == {1: {"x": 3}}


def test_a_gpus_time_is_room_of_its_own():
    problem = Problem((Item("busy", 4, GIB, BILLION // 2),), (ROOM,) * 4, BILLION * 7 // 10)
    packed = pack(problem)
    require_packed(problem, packed)
    assert (len(packed.counts), packed.is_proven) == (4, True)
    problem = Problem((Item("busy", 4, GIB, BILLION // 2),), (ROOM,) * 4)
    assert len(pack(problem).counts) == 2


@pytest.mark.parametrize("solver", [False, True])
def test_what_does_not_fit_is_said_to_be_impossible_only_where_it_is(solver):
    too_large = pack(Problem((Item("a", 1, 101),), (100, 100)), solver=solver)
    assert (too_large.counts, too_large.at_least) == (None, 3)
    too_much = pack(Problem((Item("a", 3, 60),), (100, 100)), solver=solver)
    assert (too_much.counts, too_much.at_least) == (None, 3)


def test_nothing_to_pack_takes_no_gpu():
    packed = pack(Problem((), (100,)))
    assert (packed.counts, packed.at_least, packed.is_proven) == ({}, 0, True)


def test_the_same_problem_is_packed_the_same_way():
    problem = PROBLEMS[1][1]
    assert pack(problem).counts == pack(problem).counts
