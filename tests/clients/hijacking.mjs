// Cross-site WebSocket hijacking in a real browser: a page of a stranger opens an endpoint in the visitor's name, with the cookie that
// the browser sends along (SameSite=None). The endpoint /open lets every page in: what succeeds there shows that the cookie came, so
// that the refusals at /same and /listed are for the page.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chromium } from 'playwright-core';
import { DEADLINE, Server, used, within } from './server.mjs';

const COOKIE = 'session-of-the-visitor-in-person';
used(COOKIE);

const CONFIG = `version: 1
server:
  listen: "127.0.0.1:\${PORT}"
  log: {level: "\${LOG_LEVEL:-info}"}
pages: {/: ./pages}
auth:
  browser: {session: {cookie: session, lookup: {file: sessions.yaml}}}
messages:
  line: {schema: true, to: sender}
endpoints:
  /same: {auth: browser, messages: [line]}
  /listed: {auth: browser, messages: [line], origins: ["http://app.example.test:PAGES", "http://*.example.test:PAGES"]}
  /open: {auth: browser, messages: [line], origins: ["*"]}
`;

// The pages of all hosts but the server's own.
const PAGE = '<!doctype html><title>a page</title><p>hello';
const strangers = createServer((_, response) => {
  response.setHeader('content-type', 'text/html');
  response.end(PAGE);
}).listen(0, '127.0.0.1');
await new Promise((listening) => strangers.once('listening', listening));
const pages = strangers.address().port;

const folder = mkdtempSync(join(tmpdir(), 'trunkline-test-'));
writeFileSync(join(folder, 'channels.yaml'), CONFIG.replaceAll('PAGES', pages));
writeFileSync(join(folder, 'sessions.yaml'), `${COOKIE}: {user_id: visitor}\n`);
mkdirSync(join(folder, 'pages'));
writeFileSync(join(folder, 'pages/index.html'), PAGE);

const server = await new Server(join(folder, 'channels.yaml')).start();
// A profile that sends cookies to other sites, as people have it: a new context is incognito, where the browser keeps them to itself.
mkdirSync(join(folder, 'profile/Default'), { recursive: true });
writeFileSync(join(folder, 'profile/Default/Preferences'), JSON.stringify({
  profile: { cookie_controls_mode: 0, block_third_party_cookies: false },
}));
const browser = await chromium.launchPersistentContext(join(folder, 'profile'), {
  executablePath: '/usr/bin/chromium',
  args: [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.test 127.0.0.1',
  ],
});
browser.setDefaultTimeout(DEADLINE);
await browser.addCookies([{
  name: 'session', value: COOKIE, domain: 'localhost', path: '/', httpOnly: true, secure: true, sameSite: 'None',
}]);

after(async () => {
  await browser.close();
  await server.stop();
  strangers.close();
  rmSync(folder, { recursive: true });
});

/** In a page, or a frame of it: whether the endpoint opens, and for whom. */
const open = (url) => new Promise((done) => {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => {
    const { user } = JSON.parse(data);
    socket.close();
    done(user.user_id);
  };
  socket.onerror = () => done('refused');
});

/** A visitor who has logged in at the server, on `page`. */
async function visit(page, body) {
  const tab = await browser.newPage();
  try {
    await tab.goto(page);
    await body(tab);
  } finally {
    await tab.close();
  }
}

const at = (path) => `ws://localhost:${server.port}${path}`;
const tried = (frame, path) => within(DEADLINE, `an answer of ${path}`, frame.evaluate(open, at(path)));

async function refusedByOrigin() {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  return Number(text.match(/^trunkline_handshakes_total\{outcome="origin"\} (\d+)$/m)[1]);
}

/** What a page gets at each endpoint; what it is refused is refused for its origin. */
async function expect(frame, expected) {
  const before = await refusedByOrigin();
  const found = {};
  for (const path of Object.keys(expected)) found[path] = await tried(frame, path);
  assert.deepEqual(found, expected, server.tail());
  const refused = Object.values(expected).filter((answer) => answer === 'refused').length;
  assert.equal(await refusedByOrigin() - before, refused, 'refused for the page, and not for want of a cookie');
}

test('the page of the server itself connects as the visitor', () => visit(`http://localhost:${server.port}/`, (tab) => (
  expect(tab, { '/same': 'visitor', '/listed': 'refused', '/open': 'visitor' })
)));

test('a page of a stranger does not, though the browser sends the cookie', () => visit(`http://evil.test:${pages}/`, (tab) => (
  expect(tab, { '/same': 'refused', '/listed': 'refused', '/open': 'visitor' })
)));

test('a page of another port of the same host is another page', () => visit(`http://localhost:${pages}/`, (tab) => (
  expect(tab, { '/same': 'refused', '/listed': 'refused', '/open': 'visitor' })
)));

test('a listed page does, one below a listed name too, and one that only looks like them does not', async () => {
  for (const host of ['app.example.test', 'a.b.example.test']) {
    await visit(`http://${host}:${pages}/`, (tab) => expect(tab, { '/same': 'refused', '/listed': 'visitor' }));
  }
  for (const host of ['example.test', 'app.example.test.evil.test', 'notexample.test']) {
    await visit(`http://${host}:${pages}/`, (tab) => expect(tab, { '/same': 'refused', '/listed': 'refused' }));
  }
});

// Opaque origins: the browser says `Origin: null`, whoever made the frame, the server's own page included.
for (const [what, attributes] of Object.entries({
  'a sandboxed frame': { sandbox: 'allow-scripts', srcdoc: PAGE },
  'a data: URL': { src: `data:text/html,${PAGE}` },
})) {
  test(`${what} connects nowhere but where every page may`, async () => {
    for (const page of [`http://evil.test:${pages}/`, `http://localhost:${server.port}/`]) {
      await visit(page, async (tab) => {
        await tab.evaluate((attributes) => {
          const frame = Object.assign(document.createElement('iframe'), { name: 'opaque' });
          for (const [name, value] of Object.entries(attributes)) frame.setAttribute(name, value);
          const loaded = new Promise((done) => frame.addEventListener('load', done, { once: true }));
          document.body.append(frame);
          return loaded;
        }, attributes);
        const frame = tab.frames().find((other) => other !== tab.mainFrame());
        assert.equal(await frame.evaluate(() => self.origin), 'null');
        await expect(frame, { '/same': 'refused', '/listed': 'refused' });
      });
    }
  });
}

test('a stranger whose name leads to this machine is a stranger', () => visit(`http://rebound.test:${server.port}/`, async (tab) => {
  const before = await refusedByOrigin();
  const found = await within(DEADLINE, 'an answer', tab.evaluate(open, `ws://rebound.test:${server.port}/same`));
  assert.equal(found, 'refused');
  assert.equal(await refusedByOrigin() - before, 1);
}));
