// The libraries that connect to the server, each as its README tells its users to open it.
//
// A driver is {client, errors, close}: the object that a session store takes, the errors that the
// library reported so far, and what ends it. With `hasty`, it neither reconnects nor queues what is
// asked meanwhile: a wrong password then shows as errors, not as waiting.
'use strict';

const {load, versionOf} = require('./report.js');

function redis3(server, {hasty}) {
  const client = load('redis').createClient({
    ...server, enable_offline_queue: !hasty, ...(hasty && {retry_strategy: () => undefined}),
  });
  return {client, close: () => client.end(false)};
}

// legacyMode gives redis 4 the callbacks of redis 3, which connect-redis 6 asks for.
async function redis4(server, {hasty, legacyMode, RESP}, errors) {
  const {host, port, password} = server;
  const client = load('redis').createClient({
    socket: {host, port, ...(hasty && {reconnectStrategy: false})}, password, disableOfflineQueue: hasty,
    ...(legacyMode && {legacyMode}), ...(RESP && {RESP}),
  });
  client.on('error', (error) => errors.push(error));
  await client.connect().catch((error) => errors.push(error));
  const close = client.destroy || client.disconnect;
  return {client, close: () => client.isOpen && close.call(client)};
}

function ioredis(server, {hasty, ...others}) {
  const Redis = load('ioredis');
  const client = new Redis({
    ...server, ...others,
    ...(hasty && {enableOfflineQueue: false, retryStrategy: () => null, maxRetriesPerRequest: 0}),
  });
  return {client, close: () => client.disconnect()};
}

// `name` is "redis" or "ioredis"; which generation it is, the installed package says.
async function connect(name, server, options = {}) {
  const errors = [];
  const major = Number(versionOf(name).split('.')[0]);
  const open = name === 'ioredis' ? ioredis : major === 3 ? redis3 : redis4;
  const driver = await open(server, options, errors);
  if (open !== redis4) {
    const settled = new Promise((resolve) => {
      ['ready', 'end', 'error'].forEach((event) => driver.client.once(event, resolve));
    });
    driver.client.on('error', (error) => errors.push(error));
    await settled;
  }
  return {...driver, errors};
}

module.exports = {connect};
