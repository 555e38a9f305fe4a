"""huey on SQLite with its own defaults (fsync on): two threads, ten for the kill; a shorter longest wait for latency."""

import logging
import os
import sys

from huey import SqliteHuey

from harness import Body, produce, say

command, *args = sys.argv[1:]
logging.disable(logging.CRITICAL)
huey = SqliteHuey("q", filename=os.environ["PEER_STORE"], results=False)
body = Body(*args) if command == "work" else None


@huey.task(name="task")
def task(payload):
    body.run(payload)


def one_by_one(payloads):
    """It has no call for many at once."""
    for payload in payloads:
        task(payload)


if command == "work":
    mode = args[0]
    workers = 10 if mode == "file" else 2
    longest_wait_s = 0.1 if mode == "lat" else 10
    consumer = huey.create_consumer(
        workers=workers, periodic=False, initial_delay=0.01, max_delay=longest_wait_s, worker_type="thread"
    )
    say("ready")
    consumer.run()
elif command != "setup":
    produce(command, args, one_by_one, task)
