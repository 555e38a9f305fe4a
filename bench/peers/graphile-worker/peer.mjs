// graphile-worker: fast settings (local queue, completions in batches) in the drain, its defaults elsewhere.
import { Logger, makeWorkerUtils, run, runMigrations } from 'graphile-worker';
import pg from 'pg';
import { body, produce, say } from './harness.mjs';

const [command, ...args] = process.argv.slice(2);
const pgPool = new pg.Pool({ connectionString: process.env.PEER_STORE, max: 12 });
const logger = new Logger(() => () => {});

async function work([mode, ...rest]) {
  const fast = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  const worker = { concurrentJobs: mode === 'file' ? 10 : 24, maxPoolSize: 12, pollInterval: 2000, logger };
  const preset = { worker: mode === 'noop' ? { ...worker, ...fast } : worker };
  await run({ pgPool, logger, preset, taskList: { task: body(mode, rest) } });
  say('ready');
}

if (command === 'setup') {
  await runMigrations({ pgPool, logger });
  await pgPool.end();
} else if (command === 'work') {
  await work(args);
} else {
  const utils = await makeWorkerUtils({ pgPool, logger });
  await produce(command, args, {
    bulk: (tasks) => utils.addJobs(tasks.map((payload) => ({ identifier: 'task', payload }))),
    one: (task) => utils.addJob('task', task),
  });
  await utils.release();
  await pgPool.end();
}
