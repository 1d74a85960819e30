"""Workers whose load is over go in; none is left once they have answered what they have."""

import time

_IDLE_SECONDS = 1.0
_STEP_SECONDS = 0.1
_MAY_GO_ON_SECONDS = 60.0


def end_when_idle(workers):
    """Ends workers that nobody else will, once they have answered what they have."""
    end = time.monotonic() + _MAY_GO_ON_SECONDS
    ticks, since = {}, {}
    left = list(workers)
    while left:
        now = time.monotonic()
        for one in list(left):
            used = one.processor_ticks()
            if used != ticks.get(one):
                ticks[one], since[one] = used, now
            if not one.goes_on():
                left.remove(one)
            elif now - since[one] > _IDLE_SECONDS or now > end:
                left.remove(one)
                one.kill()
        time.sleep(_STEP_SECONDS)
