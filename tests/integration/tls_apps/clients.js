// node-redis and ioredis over TLS; prints what they were told.
//   node clients.js FOLDER_OF_NODE_MODULES URL CA
'use strict';
const {createRequire} = require('module');
const {readFileSync} = require('fs');

const [folder, url, caFile] = process.argv.slice(2);
const from = createRequire(folder + '/');
const ca = readFileSync(caFile);

async function nodeRedis() {
  const client = from('redis').createClient({url, socket: {ca}});
  await client.connect();
  await client.set('tls:node-redis', 'x'.repeat(100000));
  const lengths = await Promise.all(Array.from({length: 200}, () => client.strLen('tls:node-redis')));
  console.log('node-redis', new Set(lengths).size, lengths[0], client.options?.socket?.tls ?? true);
  await client.quit();
}

async function ioredis() {
  const Redis = from('ioredis');
  const client = new Redis(url, {tls: {ca}});
  const replies = await client.pipeline().set('tls:ioredis', '1').incr('tls:ioredis').get('tls:ioredis').exec();
  console.log('ioredis', JSON.stringify(replies));
  await client.quit();
  const stranger = new Redis(url, {retryStrategy: null, lazyConnect: true});
  stranger.on('error', () => {});
  await stranger.connect().then(() => console.log('trusted'), (error) => console.log('refused', !!error));
}

nodeRedis().then(ioredis).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
