"""Reads frames captured from the wire."""

import struct


def decode(frame):
    """The sensor and value of a frame of four bytes."""
    sensor, value, total = struct.unpack(">BHB", frame)
    if sum(frame[:3]) & 0xFF != total:
        raise ValueError(f"checksum of {frame.hex()} is wrong")
    return sensor, value
