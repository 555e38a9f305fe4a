"""A frame as the firmware sends it, and one with a bit turned over."""

import unittest

from decode import decode


class DecodeTest(unittest.TestCase):
    def test_a_frame(self):
        self.assertEqual(decode(bytes.fromhex("0701f4fc")), (7, 500))

    def test_a_broken_frame(self):
        with self.assertRaises(ValueError):
            decode(bytes.fromhex("0701f5fc"))


if __name__ == "__main__":
    unittest.main()
