"""Events collected in batches that are cut at fixed times of the clock, as log shippers and metric pipelines do."""

import time


class Batches:
    """Batches of `period` seconds. Batch number n holds what came from n * period up to the next cut."""

    def __init__(self, period, clock=time.time):
        self.period = period
        self.clock = clock
        self.batches = {}

    def add(self, event):
        """Puts an event in the batch that is open now."""
        self.batches.setdefault(self._number(), []).append(event)

    def closed(self):
        """The batches whose time is over, oldest first."""
        now = self._number()
        return [events for number, events in sorted(self.batches.items()) if number < now]

    def seconds_left(self):
        """Time until the open batch is cut."""
        return self.period - self.clock() % self.period

    def _number(self):
        return int(self.clock() // self.period)
