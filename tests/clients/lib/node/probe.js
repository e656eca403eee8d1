// A second pair of eyes: asks the server about keys over a connection of its own, in plain RESP2, so that
// what a library believes is compared with what the server holds.
'use strict';

const net = require('net');
const {say} = require('./report.js');

class Probe {
  constructor({host, port, password}) {
    this.where = {host, port};
    this.password = password;
    this.waiting = [];
    this.bytes = Buffer.alloc(0);
  }

  async open() {
    this.socket = net.connect(this.where);
    this.socket.on('data', (data) => this.take(data));
    this.socket.on('error', (error) => this.fail(error));
    this.socket.on('close', () => this.fail(new Error('the probe was disconnected')));
    await this.ask('AUTH', this.password);
    say({own: `${this.socket.localAddress}:${this.socket.localPort}`});
    return this;
  }

  // A probe outlives no restart: it is opened again.
  async reopen() {
    this.close();
    this.bytes = Buffer.alloc(0);
    return this.open();
  }

  close() {
    this.socket.removeAllListeners('close');
    this.socket.destroy();
  }

  ask(...args) {
    const parts = [`*${args.length}\r\n`];
    for (const arg of args) {
      parts.push(`$${Buffer.byteLength(String(arg))}\r\n${arg}\r\n`);
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({resolve, reject});
      this.socket.write(parts.join(''));
    });
  }

  // An ttl in seconds, -1 where the key has none, -2 where there is no key.
  ttl(key) {
    return this.ask('TTL', key);
  }

  async exists(key) {
    return await this.ask('EXISTS', key) === 1;
  }

  fail(error) {
    for (const {reject} of this.waiting.splice(0)) {
      reject(error);
    }
  }

  take(data) {
    this.bytes = Buffer.concat([this.bytes, data]);
    for (let reply; (reply = parse(this.bytes, 0)) && this.waiting.length;) {
      this.bytes = this.bytes.subarray(reply.end);
      const {resolve, reject} = this.waiting.shift();
      if (reply.value instanceof Error) {
        reject(reply.value);
      } else {
        resolve(reply.value);
      }
    }
  }
}

// The reply that begins at `at`, or null if its end has not come.
function parse(bytes, at) {
  const eol = bytes.indexOf('\r\n', at);
  if (eol < 0) {
    return null;
  }
  const head = bytes.toString('utf8', at + 1, eol);
  let end = eol + 2;
  switch (String.fromCharCode(bytes[at])) {
    case '+':
      return {value: head, end};
    case '-':
      return {value: new Error(head), end};
    case ':':
      return {value: Number(head), end};
    case '$':
      if (head === '-1') {
        return {value: null, end};
      }
      end += Number(head) + 2;
      return bytes.length < end ? null : {value: bytes.toString('utf8', eol + 2, end - 2), end};
    case '*': {
      const value = [];
      for (let i = 0; i < Number(head); i++) {
        const item = parse(bytes, end);
        if (!item) {
          return null;
        }
        value.push(item.value);
        end = item.end;
      }
      return {value, end};
    }
    default:
      throw new Error(`not RESP: ${bytes.toString('latin1', at, eol)}`);
  }
}

module.exports = {Probe};
