// A WebSocket client on npm's `ws`, with waits that end with their event or fail by showing what came instead.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { DEADLINE, used, within } from './server.mjs';

export const ANY = Symbol('anything that is there');

/** A subset by key; lists by prefix. */
export function matches(wanted, got) {
  if (wanted === ANY) return got !== undefined;
  if (Array.isArray(wanted)) return Array.isArray(got) && wanted.every((value, index) => matches(value, got[index]));
  if (wanted !== null && typeof wanted === 'object') {
    return got !== null && typeof got === 'object' && Object.entries(wanted).every(([key, value]) => matches(value, got[key]));
  }
  return wanted === got;
}

export class Client {
  #frames = [];
  #wake = () => {};
  #settled = 0;
  seen = [];

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((end) => socket.once('close', (code) => {
      this.closeCode = code;
      this.#wake();
      end(code);
    }));
    socket.on('message', (content, binary) => {
      this.#frames.push(binary ? content : content.toString());
      this.#wake();
    });
  }

  /** Resolves to a client, or to the HTTP status of the refusal. */
  static async dial(server, path, options = {}) {
    used(...new URL(server.url(path)).searchParams.getAll('token'));
    for (const pair of (options.headers?.cookie ?? '').split('; ')) used(pair.split('=')[1]);
    const socket = new WebSocket(server.url(path), { perMessageDeflate: false, handshakeTimeout: DEADLINE, ...options });
    const client = new Client(socket);
    socket.on('error', () => {});
    return within(DEADLINE, `the handshake of ${path}`, new Promise((done, failed) => {
      socket.once('open', () => done(client));
      socket.once('unexpected-response', (request, response) => {
        done(response.statusCode);
        request.destroy();
      });
      socket.once('error', failed);
    }));
  }

  static async text(server, path, options) {
    const client = await Client.dial(server, path, options);
    assert(client instanceof Client, `the handshake of ${path} was refused with ${client}`);
    return client;
  }

  static async json(server, path, options) {
    const client = await Client.text(server, path, options);
    client.welcome = await client.expect({ type: 'welcome', protocol: 1 });
    return client;
  }

  send(frame) {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  async next(what) {
    while (this.#frames.length === 0) {
      if (this.closeCode !== undefined) throw new Error(`expected ${what}, the connection closed with ${this.closeCode}`);
      await within(DEADLINE, what, new Promise((wake) => { this.#wake = wake; }));
    }
    return this.#frames.shift();
  }

  /** The next frame that contains what is wanted; others are skipped, and kept in `seen`. */
  async expect(wanted) {
    const skipped = [];
    for (;;) {
      const frame = JSON.parse(await this.next(`${JSON.stringify(wanted)} (skipped: ${skipped.join(' ') || 'nothing'})`));
      this.seen.push(frame);
      if (matches(wanted, frame)) return frame;
      skipped.push(JSON.stringify(frame));
    }
  }

  /** Text frames in order and without a gap. */
  async expectText(...lines) {
    for (const line of lines) assert.equal(await this.next(JSON.stringify(line)), line);
  }

  /** A round trip: all that the server had sent this connection before it. Ends the wait for what must not come. */
  async settle() {
    const before = this.seen.length;
    const id = `settle-${this.#settled += 1}`;
    this.send({ type: 'ping', id });
    await this.expect({ type: 'pong' });
    return this.seen.slice(before, -1);
  }

  async close() {
    this.socket.close();
    await within(DEADLINE, 'the end of the connection', this.closed);
  }
}

/** The HTTP status with which the handshake was refused, or the close code that followed it. */
export async function refusal(server, path, options) {
  const client = await Client.dial(server, path, options);
  return client instanceof Client ? within(DEADLINE, `the close of ${path}`, client.closed) : client;
}
