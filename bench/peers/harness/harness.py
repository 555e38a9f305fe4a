"""What every Python driver shares: the tasks' body, the producers, the words on standard output. Protocol: ../README.md"""

import asyncio
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PER_BATCH = 1000
# Tasks a second before the counted ones, so that connections and caches are warm.
WARM_UP_S = 1


def now_ms():
    return time.time() * 1000.0


def say(event, **fields):
    os.write(1, (json.dumps({"event": event, **fields}) + "\n").encode())


def percentiles(values):
    ordered = sorted(values)

    def at(share):
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}


class Body:
    """The body of a task, for `work noop N`, `work lat N` and `work file PATH MS`. Safe to call from threads."""

    def __init__(self, mode, target, sleep_ms="0"):
        self.mode = mode
        self.sleep_s = float(sleep_ms) / 1000.0
        self.lock = threading.Lock()
        self.count = 0
        self.latencies = []
        self.started = False
        if mode == "file":
            self.file = os.open(target, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        else:
            self.total = int(target)

    def run(self, task):
        if self.mode != "file":
            self.arrived(task)
            return
        self.write("S", task)
        time.sleep(self.sleep_s)
        self.write("E", task)

    async def run_async(self, task):
        if self.mode != "file":
            self.arrived(task)
            return
        self.write("S", task)
        await asyncio.sleep(self.sleep_s)
        self.write("E", task)

    def write(self, mark, task):
        os.write(self.file, f"{mark} {task['i']} {now_ms()}\n".encode())

    def arrived(self, task):
        at = now_ms()
        with self.lock:
            if not self.started:
                self.started = True
                say("first", at_ms=at)
            if task.get("warm"):
                return
            if self.mode == "lat":
                self.latencies.append(at - task["at"])
            self.count += 1
            if self.count == self.total:
                say("done", **({"latency_ms": percentiles(self.latencies)} if self.mode == "lat" else {}))


def batches(total):
    for start in range(0, total, PER_BATCH):
        yield [{"i": i} for i in range(start, min(start + PER_BATCH, total))]


def schedule(rate, seconds):
    """Each task of a paced producer with the moment it is due, in seconds from the start."""
    for i in range(rate * (seconds + WARM_UP_S)):
        yield i / rate, i, i < rate * WARM_UP_S


def produce(command, numbers, bulk, one):
    """Carries out `bulk`, `one` and `lat` for a peer whose calls block."""
    first, second = [int(number) for number in [*numbers, "0"][:2]]
    began = time.monotonic()
    if command == "bulk":
        for tasks in batches(first):
            bulk(tasks)
    elif command == "one":
        with ThreadPoolExecutor(second) as callers:
            list(callers.map(lambda i: one({"i": i}), range(first)))
    elif command == "lat":
        for due, i, warm in schedule(first, second):
            time.sleep(max(0.0, began + due - time.monotonic()))
            one({"i": i, "at": now_ms(), "warm": warm})
    else:
        raise SystemExit(f"no such command: {command}")
    say("enqueued", seconds=time.monotonic() - began)


async def produce_async(command, numbers, bulk, one):
    """The same for a peer whose calls are awaited; here callers overlap."""
    first, second = [int(number) for number in [*numbers, "0"][:2]]
    began = time.monotonic()
    if command == "bulk":
        for tasks in batches(first):
            await bulk(tasks)
    elif command == "one":
        left = iter(range(first))

        async def caller():
            for i in left:
                await one({"i": i})

        await asyncio.gather(*[caller() for _ in range(second)])
    elif command == "lat":
        pending = []
        for due, i, warm in schedule(first, second):
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            pending.append(asyncio.create_task(one({"i": i, "at": now_ms(), "warm": warm})))
        await asyncio.gather(*pending)
    else:
        raise SystemExit(f"no such command: {command}")
    say("enqueued", seconds=time.monotonic() - began)
