// Fastify with @fastify/session, on connect-redis and ioredis as that plugin's example has them:
// enableAutoPipelining sends the commands of one turn of the event loop in one write.
'use strict';

const {promisify} = require('util');
const {load, say, versionOf} = require('./report.js');
const {connect} = require('./drivers.js');
const {NOTE, run} = require('./scenario.js');

const LIFETIME = 600;

const fastify = load('fastify');
const {RedisStore} = load('connect-redis');

function routes(app, store) {
  app.get('/', async ({session}) => {
    const {user = null, note = null} = session;
    return {user, note};
  });
  app.post('/login', async ({session, query}) => {
    const {user, seconds} = query;
    Object.entries({user, note: NOTE, items: []}).forEach(([name, value]) => session.set(name, value));
    if (seconds) {
      session.options({maxAge: seconds * 1000});
    }
    return {id: session.sessionId};
  });
  app.post('/add', async ({session, query}) => {
    session.set('items', [...session.get('items'), query.item]);
    return {items: session.get('items')};
  });
  app.post('/regenerate', async (request) => {
    await request.session.regenerate(['user', 'note', 'items']);
    return {id: request.session.sessionId};
  });
  app.post('/logout', async ({session}) => {
    await session.destroy();
    return {};
  });
  app.get('/sessions', async () => {
    const all = await promisify(store.all).call(store);
    return all.map(({id, user}) => ({id, user}));
  });
  app.post('/clear', async (request) => {
    await promisify(store.clear).call(store);
    await request.session.destroy();  // or the end of this request would store its own again
    return {};
  });
  app.setErrorHandler((error, request, reply) => reply.code(500).send(JSON.stringify(`${error}`)));
}

async function open(server, options) {
  const driver = await connect('ioredis', server, {enableAutoPipelining: true, ...options});
  const store = new RedisStore({client: driver.client, prefix: 'fastify:'});
  const app = fastify();
  app.register(load('@fastify/cookie'));
  app.register(load('@fastify/session'), {store, secret: 'a secret of at least 32 characters',
    saveUninitialized: false, cookie: {maxAge: LIFETIME * 1000, secure: false}});
  routes(app, store);
  await app.listen({host: '127.0.0.1', port: options.hasty ? 0 : Number(process.env.PORT)});
  return {
    port: app.server.address().port, errors: driver.errors, key: (id) => `fastify:${id}`,
    lifetime: LIFETIME, everyRequestWrites: true,
    close: async () => {
      await app.close();
      await driver.close();
    },
  };
}

say({version: `@fastify/session ${versionOf('@fastify/session')}, `
  + `connect-redis ${versionOf('connect-redis')}, ioredis ${versionOf('ioredis')}`});
run(open);
