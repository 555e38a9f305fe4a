"""One test with a clock of its own, which is right, and one with the real clock, which is right half of the time."""

import time
import unittest

from batches import Batches


class BatchesTest(unittest.TestCase):
    def test_a_cut_makes_a_new_batch(self):
        now = 0.0
        batches = Batches(6, clock=lambda: now)
        batches.add("a")
        now = 5.9
        batches.add("b")
        now = 6.0
        batches.add("c")
        self.assertEqual(batches.closed(), [["a", "b"]])
        self.assertEqual(batches.seconds_left(), 6.0)

    def test_events_three_seconds_apart_share_a_batch(self):
        # They do when the clock has just cut a batch, and do not when it is about to.
        batches = Batches(6)
        batches.add("begin")
        time.sleep(3)
        batches.add("end")
        time.sleep(batches.seconds_left() + 0.05)
        self.assertEqual(batches.closed(), [["begin", "end"]])


if __name__ == "__main__":
    unittest.main()
