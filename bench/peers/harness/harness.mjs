// What every Node driver shares: the tasks' body, the producers, the words on standard output. Protocol: ../README.md
import fs from 'node:fs';

const PER_BATCH = 1000;
/** Tasks a second before the counted ones, so that connections and caches are warm. */
const WARM_UP_S = 1;

export const nowMs = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function say(event, fields = {}) {
  fs.writeSync(1, `${JSON.stringify({ event, ...fields })}\n`);
}

function percentiles(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** The body of a task, for `work noop N`, `work lat N` and `work file PATH MS`. */
export function body(mode, [target, sleepMs]) {
  return mode === 'file' ? writing(fs.openSync(target, 'a'), Number(sleepMs)) : counting(mode === 'lat', Number(target));
}

function counting(timed, total) {
  let started = false;
  let count = 0;
  const latencies = [];
  return async (task) => {
    const at = nowMs();
    if (!started) {
      started = true;
      say('first', { at_ms: at });
    }
    if (task.warm) return;
    if (timed) latencies.push(at - task.at);
    count += 1;
    if (count === total) say('done', timed ? { latency_ms: percentiles(latencies) } : {});
  };
}

function writing(fd, sleepMs) {
  return async ({ i }) => {
    fs.writeSync(fd, `S ${i} ${nowMs()}\n`);
    await sleep(sleepMs);
    fs.writeSync(fd, `E ${i} ${nowMs()}\n`);
  };
}

/** Carries out `bulk`, `one` and `lat` with a peer's two ways to enqueue. */
export async function produce(command, numbers, { bulk, one }) {
  const [first, second] = numbers.map(Number);
  const began = nowMs();
  if (command === 'bulk') {
    for (let from = 0; from < first; from += PER_BATCH) {
      const length = Math.min(PER_BATCH, first - from);
      await bulk(Array.from({ length }, (_, offset) => ({ i: from + offset })));
    }
  } else if (command === 'one') {
    let next = 0;
    const caller = async () => {
      while (next < first) await one({ i: next++ });
    };
    await Promise.all(Array.from({ length: second }, caller));
  } else if (command === 'lat') {
    await paced(first, second, one);
  } else {
    throw new Error(`no such command: ${command}`);
  }
  say('enqueued', { seconds: (nowMs() - began) / 1000 });
}

/** At a fixed rate, whether or not earlier ones have been acknowledged. */
async function paced(rate, seconds, one) {
  const began = nowMs();
  const pending = [];
  for (let i = 0; i < rate * (seconds + WARM_UP_S); i += 1) {
    const early = began + (i * 1000) / rate - nowMs();
    if (early > 0) await sleep(early);
    pending.push(one({ i, at: nowMs(), warm: i < rate * WARM_UP_S }));
  }
  await Promise.all(pending);
}
