"""pgmq through its SQL functions, as its clients call them: two loops that read 200 and delete 200."""

import asyncio
import json
import os
import sys
from pathlib import Path

import asyncpg
import uvloop

from harness import Body, produce_async, say

LOOPS = 2
VISIBLE_AGAIN_S = 30
IDLE_S = 0.01


async def setup(pool):
    lines = (Path(__file__).parent / "pgmq.sql").read_text().splitlines()
    await pool.execute("create schema pgmq;\n" + "\n".join(line for line in lines if not line.startswith("\\")))
    await pool.execute("select pgmq.create('q')")


async def work(pool, mode, *rest):
    body = Body(mode, *rest)
    at_once = 200 if mode == "noop" else 5 if mode == "file" else 10

    async def loop():
        while True:
            rows = await pool.fetch("select msg_id, message from pgmq.read('q', $1, $2)", VISIBLE_AGAIN_S, at_once)
            if not rows:
                await asyncio.sleep(IDLE_S)
                continue
            await asyncio.gather(*[body.run_async(json.loads(row["message"])) for row in rows])
            await pool.execute("select pgmq.delete('q', $1::bigint[])", [row["msg_id"] for row in rows])

    say("ready")
    await asyncio.gather(*[loop() for _ in range(LOOPS)])


async def main(command, *args):
    pool = await asyncpg.create_pool(os.environ["PEER_STORE"], min_size=8, max_size=8)
    if command == "setup":
        await setup(pool)
    elif command == "work":
        await work(pool, *args)
    else:
        await produce_async(
            command,
            args,
            lambda tasks: pool.execute("select pgmq.send_batch('q', $1::jsonb[])", [json.dumps(task) for task in tasks]),
            lambda task: pool.execute("select pgmq.send('q', $1::jsonb)", json.dumps(task)),
        )


uvloop.run(main(*sys.argv[1:]))
