// Koa with koa-session and koa-redis, which brings an ioredis 4 of its own.
'use strict';

const {load, say, versionOf} = require('./report.js');
const {NOTE, run} = require('./scenario.js');

const LIFETIME = 600;
const GRACE = 10;  // koa-session lets a key live so much longer than its session, and notes the end in it.

const Koa = load('koa');
const {createSession} = load('koa-session');
const redisStore = load('koa-redis');

const ROUTES = {
  'GET /': (ctx) => {
    const {user = null, note = null} = ctx.session;
    ctx.body = {user, note};
  },
  'POST /login': async (ctx) => {
    const {user, seconds} = ctx.query;
    Object.assign(ctx.session, {user, note: NOTE, items: []});
    if (seconds) {
      ctx.session.maxAge = seconds * 1000;
    }
    await ctx.session.save();
    ctx.body = {};
  },
  'POST /add': (ctx) => {
    ctx.session.items = [...ctx.session.items, ctx.query.item];
    ctx.body = {items: ctx.session.items};
  },
  'POST /regenerate': async (ctx) => {
    await ctx.session.regenerate();
    ctx.body = {};
  },
  'POST /logout': (ctx) => {
    ctx.session = null;
    ctx.body = {};
  },
};

// The session is saved when the routes are through, so errors are caught in front of it; the new id is
// known then, too.
async function outermost(ctx, next) {
  try {
    await next();
    if (ctx.method === 'POST' && ctx.session) {
      ctx.body = {...ctx.body, id: newId(ctx)};
    }
  } catch (error) {
    ctx.status = 500;
    ctx.body = JSON.stringify(`${error}`);
  }
}

// koa-session's external key is the cookie's value.
function newId(ctx) {
  const lines = [].concat(ctx.response.get('set-cookie') || []);
  return lines.map((line) => /^koa\.sess=([^;]+)/.exec(line)).filter(Boolean).map((found) => found[1]).pop();
}

async function open(server, {hasty}) {
  const errors = [];
  const store = redisStore({...server, ...(hasty && {enableOfflineQueue: false, retryStrategy: () => null,
    maxRetriesPerRequest: 0})});
  store.on('error', (error) => errors.push(error));
  await new Promise((resolve) => ['ready', 'end'].forEach((event) => store.client.once(event, resolve)));
  const app = new Koa();
  app.keys = ['a secret'];
  app.silent = true;
  app.use(outermost);
  app.use(createSession({store, maxAge: LIFETIME * 1000, rolling: true, signed: false}, app));
  app.use((ctx) => ROUTES[`${ctx.method} ${ctx.path}`](ctx));
  const listener = await new Promise((resolve) => {
    const l = app.listen(hasty ? 0 : Number(process.env.PORT), '127.0.0.1', () => resolve(l));
  });
  return {
    port: listener.address().port, errors, key: (id) => id,
    lifetime: LIFETIME + GRACE, grace: GRACE, endOf: (stored) => stored._expire, everyRequestWrites: true,
    close: async () => {
      listener.close();
      await (hasty ? store.client.disconnect() : store.quit());
    },
  };
}

say({version: `koa-redis ${versionOf('koa-redis')}, koa-session ${versionOf('koa-session')}, `
  + `ioredis ${versionOf('ioredis')}`});
run(open);
