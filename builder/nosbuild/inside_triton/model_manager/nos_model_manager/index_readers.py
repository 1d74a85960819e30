"""Who asks for Triton's own index of the repository: one reading answers all that wait for one."""


class IndexReaders:
    """A reading answers those who asked before it began, so that it is never older than the
    question, and there is one at a time.
    """

    def __init__(self):
        self._waiting = []
        self._reading = []
        self._is_reading = False

    def add(self, waiter):
        self._waiting.append(waiter)

    def begin(self):
        """Whether a reading is to begin now."""
        if self._is_reading or not self._waiting:
            return False
        self._reading, self._waiting = self._waiting, []
        self._is_reading = True
        return True

    def end(self):
        """Those whom the reading that ended answers."""
        self._is_reading = False
        read, self._reading = self._reading, []
        return read

    def late(self, now):
        """Those whose time is over, who are not answered any more."""
        late = [waiter for waiter in self.waiters() if waiter.deadline <= now]
        self._waiting = [waiter for waiter in self._waiting if waiter not in late]
        self._reading = [waiter for waiter in self._reading if waiter not in late]
        return late

    def waiters(self):
        return [*self._reading, *self._waiting]

    def clear(self):
        self._waiting, self._reading = [], []
