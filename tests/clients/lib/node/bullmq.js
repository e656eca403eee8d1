// BullMQ: no session client, but what many of these apps run beside one on the same server. A queue, and
// workers that wait in BZPOPMIN; all state changes are scripts, which also write to a stream of events.
'use strict';

const assert = require('assert');
const {load, restart, say, step, versionOf} = require('./report.js');
const {Probe} = require('./probe.js');
const {until} = require('./scenario.js');

const {Queue, QueueEvents, Worker} = load('bullmq');
const connection = {host: process.env.REDIS_HOST, port: Number(process.env.REDIS_PORT),
  password: process.env.REDIS_PASSWORD};
const NAME = 'Zoë’s letters';
const quietly = (thing) => thing.on('error', (error) => console.error(`${error}`));

class Letters {
  constructor(probe) {
    this.probe = probe;
    this.done = [];
    this.queue = quietly(new Queue(NAME, {connection}));
    this.events = quietly(new QueueEvents(NAME, {connection}));
  }

  startWorkers() {
    const write = async (job) => {
      if (job.data.fails > job.attemptsMade) {
        throw new Error('out of ink');
      }
      this.done.push(job.data.to);
      return `Dear ${job.data.to}`;
    };
    this.workers = [1, 2, 3].map(() => quietly(new Worker(NAME, write, {connection, concurrency: 4})));
    return Promise.all(this.workers.map((worker) => worker.waitUntilReady()));
  }

  async post(to, options = {}) {
    const {fails = 0, ...others} = options;
    return this.queue.add('letter', {to, fails}, others);
  }

  async firstJob() {
    await Promise.all([this.startWorkers(), this.events.waitUntilReady()]);
    this.first = await this.post('Zoë \u{1f600}');
    assert.strictEqual(await this.first.waitUntilFinished(this.events, 15000), 'Dear Zoë \u{1f600}');
    assert.strictEqual(await this.probe.ask('TYPE', `bull:${NAME}:${this.first.id}`), 'hash');
  }

  async read() {
    const found = await this.queue.getJob(this.first.id);
    assert.strictEqual(found.data.to, 'Zoë \u{1f600}');
    assert.strictEqual(await found.getState(), 'completed');
    assert.strictEqual(await this.queue.getJob('none'), undefined);
  }

  // Each job is done once, whatever takes it; one that fails is tried again, a delayed one waits.
  async concurrent() {
    this.done = [];
    const names = [...Array(60).keys()].map((n) => `reader ${n}`);
    await Promise.all(names.map((name, n) => this.post(name, {
      ...(n % 10 === 3 && {attempts: 2, fails: 1, backoff: {type: 'fixed', delay: 50}}),
      ...(n % 10 === 5 && {delay: 300}), ...(n % 10 === 7 && {priority: 2}),
    })));
    await until('all jobs are done', () => this.done.length >= names.length, 30);
    assert.deepStrictEqual([...this.done].sort(), names.sort());
  }

  async destroy() {
    await this.first.remove();
    assert.strictEqual(await this.queue.getJob(this.first.id), undefined);
    assert(!await this.probe.exists(`bull:${NAME}:${this.first.id}`));
  }

  async list() {
    await this.queue.pause();
    await Promise.all(['a', 'b', 'c'].map((to) => this.post(to)));
    const waiting = await this.queue.getJobs(['waiting', 'paused']);
    assert.deepStrictEqual(waiting.map((job) => job.data.to).sort(), ['a', 'b', 'c']);
    await until('the workers are idle', async () => (await this.queue.getJobCounts('completed')).completed === 60);
  }

  async clear() {
    await this.queue.obliterate({force: true});
    assert.deepStrictEqual(await this.queue.getJobs(), []);
    const [, keys] = await this.probe.ask('SCAN', 0, 'MATCH', `bull:${NAME}:[0-9]*`, 'COUNT', 100000);
    assert.deepStrictEqual(keys, []);
    await this.queue.resume();
  }

  async reconnect() {
    this.done = [];
    await restart();
    await this.probe.reopen();
    await until('a job is taken', () => this.post('after the restart').then(() => true, () => false), 10);
    await until('the job is done', () => this.done.includes('after the restart'), 30);
  }

  async close() {
    await Promise.all(this.workers.map((worker) => worker.close(true)));
    await Promise.all([this.queue.close(), this.events.close()]);
  }
}

async function wrongPassword() {
  const options = {...connection, password: 'wrong', retryStrategy: () => null, maxRetriesPerRequest: 0};
  const errors = [];
  const queue = new Queue('thief', {connection: options}).on('error', (error) => errors.push(`${error}`));
  await assert.rejects(Promise.race([queue.add('letter', {}),
    until('an answer', () => errors.some((error) => /WRONGPASS|NOAUTH/.test(error)))
      .then(() => Promise.reject(new Error(errors.join())))]));
  await queue.disconnect().catch(() => {});
}

async function main() {
  const probe = await new Probe(connection).open();
  say({version: `bullmq ${versionOf('bullmq')}, ioredis ${versionOf('ioredis')}`});
  const [streams] = await probe.ask('COMMAND', 'INFO', 'XADD');
  if (!streams) {
    say({skip: 'BullMQ writes its events to a stream, and the server has no streams (XADD)'});
    return;
  }
  const letters = new Letters(probe);
  await step('log in', () => letters.firstJob());
  await step('read', () => letters.read());
  await step('concurrent requests', () => letters.concurrent());
  await step('destroy', () => letters.destroy());
  await step('list', () => letters.list());
  await step('clear', () => letters.clear());
  await step('wrong password', wrongPassword);
  await step('reconnect', () => letters.reconnect());
  await letters.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
