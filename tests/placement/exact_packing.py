"""The least number of bins, by a search written apart from what it is to check."""

from functools import cache


def fewest_bins(sizes, capacity):
    """Of bins alike; for some two dozen sizes."""
    sizes = sorted(sizes, reverse=True)
    assert sizes[0] <= capacity
    count = -(-sum(sizes) // capacity)
    while not _fits(sizes, capacity, count):
        count += 1
    return count


def most_left(sizes, capacity, count):
    """The most that can be left in the fullest of so many bins."""
    low, high = 0, capacity
    while low < high:
        middle = (low + high + 1) // 2
        if _fits(sorted(sizes, reverse=True), capacity - middle, count):
            low = middle
        else:
            high = middle - 1
    return low


def _fits(sizes, capacity, count):
    """Whether a place is found for each, the largest first, into bins told apart by room alone."""
    after = [0]
    for size in reversed(sizes):
        after.append(after[-1] + size)
    after.reverse()

    @cache
    def place(position, rooms):
        if position == len(sizes):
            return True
        smallest = sizes[-1]
        if sum(room for room in rooms if room >= smallest) < after[position]:
            return False
        tried = set()
        for index, room in enumerate(rooms):
            if room < sizes[position] or room in tried:
                continue
            tried.add(room)
            left = tuple(sorted((*rooms[:index], room - sizes[position], *rooms[index + 1 :])))
            if place(position + 1, left):
                return True
            if room == sizes[position]:
                return False  # nothing could have filled it better
        return False

    return place(0, (capacity,) * count)
