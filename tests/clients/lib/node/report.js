// What a client tells its runner (tests/clients/README.md, "The contract").
'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');
const {createRequire} = require('module');

const home = process.env.CLIENT_HOME;
const load = createRequire(path.join(home, 'node_modules', '/'));
const about = JSON.parse(fs.readFileSync('client.json', 'utf8'));
const answers = readline.createInterface({input: process.stdin})[Symbol.asyncIterator]();

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

// The version of an installed package, which need not let its package.json be required.
function versionOf(name) {
  const file = path.join(home, 'node_modules', name, 'package.json');
  return JSON.parse(fs.readFileSync(file, 'utf8')).version;
}

// One line. What assert makes up by itself says little without the values, and has many lines with them.
function whyOf(error) {
  if (error && error.generatedMessage) {
    return `${JSON.stringify(error.actual)} instead of ${JSON.stringify(error.expected)}`.slice(0, 300);
  }
  return String(error && error.message || error).split('\n')[0];
}

// One step: what it throws is why it failed. Those that client.json calls absent are left out.
async function step(name, body) {
  if (about.steps_absent && name in about.steps_absent) {
    return;
  }
  try {
    await body();
    say({step: name, ok: true});
  } catch (error) {
    console.error(error);
    say({step: name, ok: false, why: whyOf(error)});
  }
}

// The runner restarts the server, and says when it is there again.
async function restart() {
  say({ask: 'restart'});
  const {value, done} = await answers.next();
  if (done || value !== 'done') {
    throw new Error(`the runner answered ${value}`);
  }
}

module.exports = {about, load, restart, say, step, versionOf};
