"""What is put in can be taken out, and is still there tomorrow."""

import tempfile
import unittest
from pathlib import Path

from stock import Book


class BookTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "stock.json")

    def test_items_survive_a_restart(self):
        book = Book(self.path)
        book.add("bolt", 5)
        book.add("bolt", -2)
        book.save()
        self.assertEqual(Book(self.path).items["bolt"].count, 3)

    def test_no_more_than_there_is(self):
        book = Book(self.path)
        book.add("nut", 1)
        with self.assertRaises(ValueError):
            book.add("nut", -2)


if __name__ == "__main__":
    unittest.main()
