// The eleven steps, through whatever web framework `open` gives.
//
// open(server, {hasty}) resolves to a site: {port, errors, key, lifetime, close, ...}. It answers
//   POST /login?user=U[&seconds=N]   a session of U's, for N seconds where that is said: {id}
//   GET  /                           {user, note}: null for a stranger, whose session is not stored
//   POST /add?item=N                 puts N into the session: {items}
//   POST /regenerate                 a new id with the same data: {id}
//   POST /logout                     {}
//   GET  /sessions                   [{id, user}], all of them
//   POST /clear                      {}
// with 500 where the store failed. key(id) is a session's key in Redis, lifetime its seconds there,
// everyRequestWrites says that a session is written whether or not a request changed it, grace is how
// many seconds longer than a session its key lives, and endOf(stored) is the session's end then.
'use strict';

const assert = require('assert');
const {Browser} = require('./browser.js');
const {Probe} = require('./probe.js');
const {restart, step} = require('./report.js');

const NOTE = 'Zoë €\u{1f600} "quoted" \\ \u0000';

const server = {host: process.env.REDIS_HOST, port: Number(process.env.REDIS_PORT),
  password: process.env.REDIS_PASSWORD};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, condition, seconds = 15) {
  const deadline = Date.now() + seconds * 1000;
  while (!await condition()) {
    assert(Date.now() < deadline, `${what}: not within ${seconds} s`);
    await pause(30);
  }
}

class Scenario {
  constructor(site, probe) {
    this.site = site;
    this.probe = probe;
  }

  browser() {
    return new Browser(this.site.port);
  }

  async login(user, rest = '') {
    const browser = this.browser();
    browser.id = (await browser.ask('POST', `/login?user=${user}${rest}`)).id;
    browser.key = this.site.key(browser.id);
    return browser;
  }

  async knows(browser, user) {
    const {user: found, note} = await browser.ask('GET', '/');
    assert.strictEqual(found, user);
    assert.strictEqual(note, NOTE);
  }

  async isStranger(browser) {
    assert.deepStrictEqual(await browser.copy().ask('GET', '/'), {user: null, note: null});
  }

  async hasLife(key) {
    const ttl = await this.probe.ttl(key);
    const {lifetime} = this.site;
    assert(ttl > lifetime - 60 && ttl <= lifetime, `the key's TTL is ${ttl}, not about ${lifetime}`);
  }

  async logIn() {
    const zoe = this.zoe = await this.login('zoe');
    assert(zoe.cookies.size === 1, 'no cookie was set');
    const stored = JSON.parse(await this.probe.ask('GET', zoe.key));
    assert.strictEqual(stored.user, 'zoe');
    assert.strictEqual(stored.note, NOTE);
    await this.hasLife(zoe.key);
  }

  async read() {
    await this.knows(this.zoe, 'zoe');
    const keys = await this.probe.ask('DBSIZE');
    await this.isStranger(this.browser());
    assert.strictEqual(await this.probe.ask('DBSIZE'), keys, 'a stranger\'s visit was stored');
  }

  async touch() {
    assert.strictEqual(await this.probe.ask('EXPIRE', this.zoe.key, 30), 1);
    await this.knows(this.zoe, 'zoe');
    await this.hasLife(this.zoe.key);
    await (this.site.checkTouch || (() => {}))(this.probe);
  }

  async expire() {
    const brief = await this.login('brief', '&seconds=2');
    const ttl = await this.probe.ttl(brief.key);
    const most = 2 + (this.site.grace || 0);
    assert(ttl !== -1 && ttl <= most, `the key's TTL is ${ttl}, not ${most}`);
    if (this.site.grace) {  // The library itself knows the end before the key has gone.
      const end = this.site.endOf(JSON.parse(await this.probe.ask('GET', brief.key)));
      await until('the session ends', () => Date.now() > end);
      await this.isStranger(brief);
      await this.probe.ask('PEXPIRE', brief.key, 1);
    }
    await until('the key goes', async () => !await this.probe.exists(brief.key));
    await this.isStranger(brief);
    await this.knows(this.zoe, 'zoe');
  }

  async concurrent() {
    const users = [...Array(20).keys()].map((i) => `user${i}`);
    const browsers = await Promise.all(users.map((user) => this.login(user)));
    await Promise.all(browsers.flatMap((browser, i) => [1, 2, 3, 4].map((n) => n === 3
      ? browser.ask('POST', `/add?item=${i}`) : this.knows(browser, users[i]))));
    await Promise.all([...Array(20).keys()].map((n) => browsers[0].ask('POST', `/add?item=${n + 100}`)));
    await Promise.all(browsers.map((browser, i) => this.knows(browser, users[i])));
    for (const [i, browser] of browsers.entries()) {
      const {items} = await browser.ask('POST', '/add?item=last');
      const own = items.slice(0, -1);
      // The last writer of a session wins in all these libraries, and for some of them each request writes.
      assert(own.length > 0 || this.site.everyRequestWrites, `user${i} has lost all items`);
      assert(own.every((item) => item === String(i) || i === 0 && Number(item) >= 100), `mixed up: ${items}`);
    }
    await Promise.all(browsers.map((browser) => browser.ask('POST', '/logout')));
  }

  async regenerate() {
    const before = this.zoe.copy();
    const old = this.zoe.key;
    this.zoe.id = (await this.zoe.ask('POST', '/regenerate')).id;
    this.zoe.key = this.site.key(this.zoe.id);
    assert.notStrictEqual(this.zoe.key, old);
    await this.knows(this.zoe, 'zoe');
    await this.isStranger(before);
    assert(!await this.probe.exists(old), 'the old key is still there');
    await this.hasLife(this.zoe.key);
  }

  async destroy() {
    const leaving = await this.login('leaving');
    const before = leaving.copy();
    assert(await this.probe.exists(leaving.key));
    await leaving.ask('POST', '/logout');
    await this.isStranger(before);
    assert(!await this.probe.exists(leaving.key), 'the key is still there');
    await this.knows(this.zoe, 'zoe');
  }

  async list() {
    await this.probe.ask('SET', 'other:1', 'not a session');
    const users = [...Array(310).keys()].map((i) => `many${i}`);
    const many = [];
    for (let i = 0; i < users.length; i += 31) {
      many.push(...await Promise.all(users.slice(i, i + 31).map((user) => this.login(user))));
    }
    const expected = new Map(many.map((browser, i) => [browser.id, users[i]]).concat([[this.zoe.id, 'zoe']]));
    const listed = await this.zoe.ask('GET', '/sessions');
    // SCAN may name a key twice, and connect-redis 7 and 8 pass that on.
    const found = new Map(listed.map(({id, user}) => [id, user]));
    const missing = [...expected].filter(([id, user]) => found.get(id) !== user);
    const strange = [...found].filter(([id]) => !expected.has(id));
    assert(missing.length + strange.length === 0, `not listed: ${missing}; listed too: ${strange}`);
    await (this.site.checkList || (() => {}))(new Set(expected.keys()));
  }

  async clear() {
    const others = [await this.login('one'), await this.login('two')];
    await this.zoe.copy().ask('POST', '/clear');
    for (const browser of [this.zoe, ...others]) {
      await this.isStranger(browser);
      assert(!await this.probe.exists(browser.key), 'a key is still there');
    }
    assert.strictEqual(await this.probe.ask('GET', 'other:1'), 'not a session');
    this.zoe = await this.login('zoe');
  }

  async reconnect() {
    await restart();
    await this.probe.reopen();
    await until('the session is known', async () => {
      const {status, body} = await this.zoe.request('GET', '/').catch((error) => ({status: error.message}));
      return status === 200 && body.user === 'zoe';
    }, 10);
    await this.knows(await this.login('newcomer'), 'newcomer');
    await this.knows(this.zoe, 'zoe');
  }
}

async function wrongPassword(open, probe) {
  const keys = await probe.ask('DBSIZE');
  for (const [password, complaint] of [['wrong', /WRONGPASS|NOAUTH/], [undefined, /NOAUTH/]]) {
    const site = await open({...server, password}, {hasty: true});
    try {
      const browser = new Browser(site.port);
      const {status, body} = await browser.request('POST', '/login?user=thief');
      assert.strictEqual(status, 500, `the log-in was answered with ${status}`);
      const told = [...site.errors, body].map((error) => error.command ? `${error}` : JSON.stringify(
        error, Object.getOwnPropertyNames(Object(error))));
      assert.match(told.join('\n'), complaint);
    } finally {
      await site.close();
    }
  }
  assert.strictEqual(await probe.ask('DBSIZE'), keys, 'something was stored');
}

async function main(open) {
  const probe = await new Probe(server).open();
  const site = await open(server, {hasty: false});
  const scenario = new Scenario(site, probe);
  await step('log in', () => scenario.logIn());
  await step('read', () => scenario.read());
  await step('touch', () => scenario.touch());
  await step('expire', () => scenario.expire());
  await step('concurrent requests', () => scenario.concurrent());
  await step('regenerate id', () => scenario.regenerate());
  await step('destroy', () => scenario.destroy());
  await step('list', () => scenario.list());
  await step('clear', () => scenario.clear());
  await step('wrong password', () => wrongPassword(open, probe));
  await step('reconnect', () => scenario.reconnect());
  await site.close();
  probe.close();
}

// What holds the process open after that is the library's own business, and not waited for.
function run(open) {
  main(open).then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = {NOTE, run, until};
