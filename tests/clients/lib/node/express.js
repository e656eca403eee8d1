// Express with express-session and connect-redis, on the driver and the versions that client.json names.
//   express.js [DRIVER_OPTIONS_AS_JSON]
'use strict';

const assert = require('assert');
const {promisify} = require('util');
const {about, load, say, versionOf} = require('./report.js');
const {connect} = require('./drivers.js');
const {NOTE, run} = require('./scenario.js');

const LIFETIME = 600;
const driverName = 'ioredis' in about.npm ? 'ioredis' : 'redis';
const driverOptions = JSON.parse(process.argv[2] || '{}');
const generation = Number(versionOf('connect-redis').split('.')[0]);

const express = load('express');
const session = load('express-session');

function storeClass() {
  const connectRedis = load('connect-redis');
  if (generation === 6) {
    return connectRedis(session);
  }
  return generation === 7 ? connectRedis.default : connectRedis.RedisStore;
}

function routes(app, store) {
  const save = (request, response, body) => request.session.save(
    (failed) => failed ? response.status(500).json(`${failed}`) : response.json(body()));
  app.get('/', (request, response) => {
    const {user = null, note = null} = request.session;
    response.json({user, note});
  });
  app.post('/login', (request, response) => {
    const {user, seconds} = request.query;
    Object.assign(request.session, {user, note: NOTE, items: []});
    if (seconds) {
      request.session.cookie.maxAge = seconds * 1000;
    }
    save(request, response, () => ({id: request.sessionID}));
  });
  app.post('/add', (request, response) => {
    request.session.items.push(request.query.item);
    save(request, response, () => ({items: request.session.items}));
  });
  app.post('/regenerate', (request, response, next) => {
    const {user, note, items} = request.session;
    request.session.regenerate((error) => {
      if (error) {
        return next(error);
      }
      Object.assign(request.session, {user, note, items});
      save(request, response, () => ({id: request.sessionID}));
    });
  });
  app.post('/logout', (request, response, next) => {
    request.session.destroy((error) => error ? next(error) : response.json({}));
  });
  app.get('/sessions', (request, response, next) => {
    store.all((error, all) => error ? next(error) : response.json(all.map(({id, user}) => ({id, user}))));
  });
  app.post('/clear', (request, response, next) => {
    store.clear((error) => error ? next(error) : response.json({}));
  });
  app.use((error, request, response, next) => {
    response.status(500).json(`${error}`);
  });
}

// What touch and set do when the session's end is past already, and a store without TTLs.
function checkTouch(store, Store, client) {
  return async (probe) => {
    const call = (on, name, ...args) => promisify(on[name]).apply(on, args);
    const past = {user: 'past', cookie: {expires: new Date(Date.now() - 5000)}};
    const future = {user: 'past', cookie: {expires: new Date(Date.now() + 60000)}};
    await call(store, 'set', 'past', future);
    assert(await probe.exists('sess:past'));
    await call(store, 'touch', 'past', past);
    assert(!await probe.exists('sess:past'), 'a touch with an end in the past left the key');
    await call(store, 'set', 'past', future);
    await call(store, 'set', 'past', past);
    assert(!await probe.exists('sess:past'), 'a set with an end in the past left the key');

    const lasting = new Store({client, prefix: 'lasting:', disableTTL: true});
    await call(lasting, 'set', 'x', future);
    assert.strictEqual(await probe.ttl('lasting:x'), -1);
    await call(lasting, 'touch', 'x', future);
    await call(lasting, 'destroy', 'x');
    assert.strictEqual(await probe.ttl('lasting:x'), -2);
  };
}

function checkList(store) {
  return async (expected) => {
    const ids = await promisify(store.ids).call(store);
    assert.deepStrictEqual([...new Set(ids)].sort(), [...expected].sort());
    assert.strictEqual(await promisify(store.length).call(store), ids.length);
  };
}

async function open(server, options) {
  const driver = await connect(driverName, server, {...driverOptions, ...options});
  const Store = storeClass();
  const store = new Store({client: driver.client});
  const app = express();
  app.use(session({store, secret: 'a secret', resave: false, saveUninitialized: false,
    cookie: {maxAge: LIFETIME * 1000}}));
  routes(app, store);
  const listener = await new Promise((resolve) => {
    const l = app.listen(options.hasty ? 0 : Number(process.env.PORT), '127.0.0.1', () => resolve(l));
  });
  return {
    port: listener.address().port, errors: driver.errors, lifetime: LIFETIME, key: (id) => `sess:${id}`,
    checkTouch: checkTouch(store, Store, driver.client), checkList: checkList(store),
    close: async () => {
      listener.close();
      await driver.close();
    },
  };
}

say({version: `connect-redis ${versionOf('connect-redis')}, ${driverName} ${versionOf(driverName)}, `
  + `express-session ${versionOf('express-session')}`});
run(open);
