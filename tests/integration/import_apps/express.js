// An Express app whose sessions are in connect-pg-simple's table or in Redis. Prints its port.
//   node express.js FOLDER_OF_NODE_MODULES pg DATABASE_URL
//   node express.js FOLDER_OF_NODE_MODULES redis PORT
const {createRequire} = require('module');
const [, , folder, kind, place] = process.argv;
const load = createRequire(folder + '/');
const express = load('express');
const session = load('express-session');

async function store() {
  if (kind === 'pg') {
    const PgSession = load('connect-pg-simple')(session);
    return new PgSession({conString: place, createTableIfMissing: true});
  }
  const client = load('redis').createClient({socket: {host: '127.0.0.1', port: Number(place)}});
  await client.connect();
  const {default: RedisStore} = load('connect-redis');
  return new RedisStore({client});
}

async function main() {
  const app = express();
  app.use(session({
    store: await store(), secret: 'of the app', resave: false, saveUninitialized: false,
    cookie: {maxAge: 3600 * 1000},
  }));
  app.get('/login', (request, response) => {
    request.session.user = request.query.user;
    request.session.visits = 0;
    response.json({user: request.session.user});
  });
  app.get('/whoami', (request, response) => {
    if (request.session.user) request.session.visits += 1;
    response.json({user: request.session.user ?? null, visits: request.session.visits ?? null});
  });
  const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

main();
