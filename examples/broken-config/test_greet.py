"""Everybody is greeted."""

import unittest

from greet import greet


class GreetTest(unittest.TestCase):
    def test_everybody_is_greeted(self):
        self.assertEqual(greet(" Ada "), "Hello, Ada!")
        self.assertEqual(greet(" "), "Hello, stranger!")


if __name__ == "__main__":
    unittest.main()
