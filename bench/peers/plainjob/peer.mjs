// plainjob over better-sqlite3, with its own defaults (`synchronous = NORMAL`): one worker, ten for the kill.
import Database from 'better-sqlite3';
import { better, defineQueue, defineWorker } from 'plainjob';
import { body, produce, say } from './harness.mjs';

const [command, ...args] = process.argv.slice(2);
const logger = { error: console.error, warn() {}, info() {}, debug() {} };
const database = new Database(process.env.PEER_STORE);
const queue = defineQueue({ connection: better(database), logger });

if (command === 'work') {
  const [mode, ...rest] = args;
  const run = body(mode, rest);
  for (let number = 0; number < (mode === 'file' ? 10 : 1); number += 1) {
    defineWorker('task', (job) => run(JSON.parse(job.data)), { queue, logger }).start();
  }
  say('ready');
} else {
  if (command !== 'setup') {
    await produce(command, args, {
      bulk: async (tasks) => queue.addMany('task', tasks),
      one: async (task) => queue.add('task', task),
    });
  }
  database.close();
  process.exit(0);
}
