// pg-boss: batches of 500 fetched by two pollers in the drain; LISTEN/NOTIFY and ten pollers for latency; its defaults
// with ten at once for the kill.
import { PgBoss } from 'pg-boss';
import { body, produce, say } from './harness.mjs';

const [command, ...args] = process.argv.slice(2);
const QUEUE = 'q';
const isWorker = command === 'work';
const notify = args[0] === 'lat';
const boss = new PgBoss({
  connectionString: process.env.PEER_STORE,
  max: 12,
  schedule: false,
  supervise: isWorker,
  useListenNotify: isWorker && notify,
});
boss.on('error', (error) => console.error(String(error)));
await boss.start();

async function work([mode, ...rest]) {
  const fast = { batchSize: 500, burstWhenBatchFull: true, localConcurrency: 2 };
  const options = { pollingIntervalSeconds: 0.5, ...(mode === 'noop' ? fast : { batchSize: 1, localConcurrency: 10 }) };
  const run = body(mode, rest);
  await boss.work(QUEUE, options, async (jobs) => {
    await Promise.all(jobs.map((job) => run(job.data)));
  });
  say('ready');
}

if (isWorker) {
  await work(args);
} else {
  if (command === 'setup') {
    await boss.createQueue(QUEUE, { notify });
  } else {
    await produce(command, args, {
      bulk: (tasks) => boss.insert(QUEUE, tasks.map((data) => ({ data }))),
      one: (task) => boss.send(QUEUE, task),
    });
  }
  await boss.stop({ graceful: false });
  process.exit(0);
}
