// A person at a browser: requests to the app with the cookies that it set, kept for ever, so that it is the
// server which must know that a session is over.
'use strict';

const http = require('http');

class Browser {
  constructor(port) {
    this.port = port;
    this.cookies = new Map();
  }

  // The same person's cookies as they are now, for the question who they belong to later.
  copy() {
    const other = new Browser(this.port);
    other.cookies = new Map(this.cookies);
    return other;
  }

  // Resolves to {status, body}: body is the JSON that came, or the text.
  request(method, path) {
    return new Promise((resolve, reject) => {
      const headers = {};
      if (this.cookies.size) {
        headers.cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      }
      const request = http.request({host: '127.0.0.1', port: this.port, method, path, headers, agent: false});
      request.setTimeout(20000, () => request.destroy(new Error(`${method} ${path}: no answer`)));
      request.on('error', reject);
      request.on('response', (response) => {
        this.keep(response.headers['set-cookie'] || []);
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const json = /json/.test(response.headers['content-type'] || '');
          resolve({status: response.statusCode, body: json ? JSON.parse(text) : text});
        });
      });
      request.end();
    });
  }

  // The body of an answer that must be 200.
  async ask(method, path) {
    const {status, body} = await this.request(method, path);
    if (status !== 200) {
      throw new Error(`${status} after ${method} ${path}: ${JSON.stringify(body)}`);
    }
    return body;
  }

  keep(lines) {
    for (const line of lines) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '') {
        this.cookies.delete(name);
      } else {
        this.cookies.set(name, value);
      }
    }
  }
}

module.exports = {Browser};
