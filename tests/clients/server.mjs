// The server under test as a process, for the Node suites; server.py is the same for Python.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const PARITY = join(ROOT, 'examples/fastapi-parity/channels.yaml');
export const JWT_SECRET = 'a-test-secret-of-at-least-32-bytes!!';
export const API_KEY = 'backend-key-for-the-tests-of-32-bytes';
// How long an event may take before the test gives up on it. Never a pause: every wait ends with its event.
export const DEADLINE = 15_000;

// What is left for the stage `secrets`, as evidence.py has it.
const EVIDENCE = join(ROOT, '.cache/tests/evidence');

/** Notes credentials. */
export function used(...credentials) {
  mkdirSync(EVIDENCE, { recursive: true });
  const lines = credentials.filter(Boolean).map((credential) => `${JSON.stringify(credential)}\n`);
  if (lines.length > 0) appendFileSync(join(EVIDENCE, 'credentials.jsonl'), lines.join(''));
}

const BINARY = process.env.TRUNKLINE ?? join(ROOT, 'target/release/trunkline');

export class Server {
  log = [];

  constructor(config) {
    this.config = config;
  }

  async start() {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} does not exist: run \`cargo build --release\`, or set TRUNKLINE`);
    this.port = await freePort();
    this.process = spawn(BINARY, ['serve', this.config], {
      cwd: dirname(this.config),
      env: { ...process.env, PORT: String(this.port), JWT_SECRET, API_KEY, LOG_LEVEL: 'trace' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    used(JWT_SECRET, API_KEY);
    const kept = join(EVIDENCE, `node-${process.pid}-${this.process.pid}.log`);
    // Nothing of a run that was broken off is left behind.
    process.once('exit', () => this.process.kill('SIGKILL'));
    this.ended = new Promise((end) => this.process.once('exit', (code, signal) => end(code ?? signal)));
    try {
      await within(DEADLINE, 'the log line "listening"', new Promise((listening, failed) => {
        for (const stream of [this.process.stdout, this.process.stderr]) {
          createInterface({ input: stream }).on('line', (line) => {
            this.log.push(line);
            appendFileSync(kept, `${line}\n`);
            if (line.includes('listening')) listening();
          });
        }
        this.process.once('error', failed);
        this.ended.then((code) => failed(new Error(`the server ended with ${code} before it listened`)));
      }));
    } catch (error) {
      this.process.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.tail()}`);
    }
    return this;
  }

  async stop() {
    this.process.kill('SIGTERM');
    const code = await within(30_000, 'the end of the server after SIGTERM', this.ended).catch((error) => {
      this.process.kill('SIGKILL');
      throw error;
    });
    if (code !== 0) throw new Error(`the server ended with ${code}\n${this.tail()}`);
  }

  tail() {
    return this.log.slice(-40).map((line) => `  | ${line}`).join('\n') || '  | (no output)';
  }

  url(path) {
    return `ws://127.0.0.1:${this.port}${path}`;
  }

  async publish(room, type, data, key = API_KEY) {
    used(key);
    return fetch(`http://127.0.0.1:${this.port}/api/rooms/${room}/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({ type, data }),
      signal: AbortSignal.timeout(DEADLINE),
    });
  }
}

/** A copy of parts of a folder, whose config has been rewritten by `change`; removed by `remove`. */
export function variant(config, parts, change) {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-test-'));
  for (const part of parts) cpSync(join(dirname(config), part), join(folder, part), { recursive: true });
  const before = readFileSync(config, 'utf8');
  const after = change(before);
  if (after === before) throw new Error(`the change to ${config} changed nothing: the test must follow the example`);
  const path = join(folder, 'channels.yaml');
  writeFileSync(path, after);
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => probe.once('listening', listening));
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  return port;
}

export function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`${what} did not come within ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Tokens, made by hand: good ones, and what a library would refuse to make.

export function token(userId, { header = {}, secret = JWT_SECRET, hash = 'sha256', ...claims } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT', ...header })}.${part({ sub: userId, username: `name-of-${userId}`, exp: now + 600, ...claims })}`;
  const signature = secret === null ? '' : createHmac(hash, secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}
