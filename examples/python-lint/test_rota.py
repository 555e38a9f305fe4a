"""The list goes round and a week begins on Monday."""

import datetime as dt
import unittest

import rota


class RotaTest(unittest.TestCase):
    def test_the_list_goes_round(self):
        self.assertEqual([rota.on_call(["Ada", "Bo"], week) for week in range(3)], ["Ada", "Bo", "Ada"])

    def test_a_week_begins_on_monday(self):
        sunday = dt.date(2026, 3, 1)
        self.assertEqual(rota.weeks(sunday, 2), [dt.date(2026, 2, 23), dt.date(2026, 3, 2)])


if __name__ == "__main__":
    unittest.main()
