// The demo page in a real browser: two tabs chat; one dies, the other is told; it comes back and sees what it missed.
// What the page must offer: inputs #name and #text, button #send, a list #messages whose items have the class message, joined or
// left, and #status, which says connected or reconnecting.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chromium } from 'playwright-core';
import { DEADLINE, ROOT, Server, variant } from './server.mjs';

const CHROMIUM = {
  executablePath: '/usr/bin/chromium',
  args: [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
};

// Started here and not in a hook: if they do not start, that is said once instead of by each test.
const copy = variant(join(ROOT, 'channels.yaml'), ['schemas', 'public'], listenOnPort);
const server = await new Server(copy.path).start();
const browser = await chromium.launch(CHROMIUM);

after(async () => {
  copy.remove();
  await browser.close();
  await server.stop();
});

// The demo as it stands, but on a free port.
function listenOnPort(config) {
  const listen = 'listen: "127.0.0.1:${PORT}"';
  if (/^\s+listen:.*$/m.test(config)) return config.replace(/listen:.*$/m, listen);
  if (/^server:/m.test(config)) return config.replace(/^server:.*$/m, `server:\n  ${listen}`);
  return config.replace(/^version:.*$/m, `$&\nserver:\n  ${listen}`);
}

/** A visitor's own profile: cookies and storage outlive its tabs. */
async function visitor(body) {
  const context = await browser.newContext();
  context.setDefaultTimeout(DEADLINE);
  try {
    await body(context);
  } catch (error) {
    error.message += `\n${await contents(context)}\noutput of the server:\n${server.tail()}`;
    throw error;
  } finally {
    await context.close();
  }
}

async function contents(context) {
  const pages = await Promise.all(context.pages().map((page) => page.locator('body').innerText().catch(() => 'gone')));
  return pages.map((text, index) => `tab ${index + 1}:\n${text.replace(/^/gm, '  | ')}`).join('\n');
}

async function openTab(context, name, room, port = server.port) {
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${port}/?room=${room}&name=${name}`);
  await page.locator('#status', { hasText: /^\s*connected\s*$/ }).waitFor();
  return page;
}

async function say(page, text) {
  await page.locator('#text').fill(text);
  await page.locator('#send').click();
}

const line = (page, kind, text) => page.locator(`#messages li.${kind}`, { hasText: text });

test('two tabs chat, one dies and comes back to what it missed', () => visitor(async (anns) => visitor(async (bens) => {
  const ann = await openTab(anns, 'ann', 'killed');
  let ben = await openTab(bens, 'ben', 'killed');
  await line(ann, 'joined', 'ben').waitFor();
  await say(ann, 'hello ben');
  await line(ben, 'message', 'hello ben').waitFor();
  await say(ben, 'hello ann');
  await line(ann, 'message', 'hello ann').waitFor();

  await kill(bens, ben);
  await line(ann, 'left', 'ben').waitFor();
  await say(ann, 'are you there?');
  await line(ann, 'message', 'are you there?').waitFor();

  ben = await openTab(bens, 'ben', 'killed');
  await line(ben, 'message', 'are you there?').waitFor();
  assert.equal(await line(ben, 'message', 'are you there?').count(), 1, 'what was missed is shown once');
  await say(ben, 'back again');
  await line(ann, 'message', 'back again').waitFor();
})));

// The renderer process dies: no farewell, no unload handlers.
async function kill(context, page) {
  const crashed = page.waitForEvent('crash');
  page.goto('chrome://crash').catch(() => {});
  await crashed;
  await page.close();
}

test('a tab whose connection is cut reconnects by itself and resumes', () => visitor(async (anns) => visitor(async (bens) => {
  const cable = await Cable.to(server.port);
  try {
    const ann = await openTab(anns, 'ann', 'cut');
    const ben = await openTab(bens, 'ben', 'cut', cable.port);
    await say(ann, 'before');
    await line(ben, 'message', 'before').waitFor();

    cable.cut();
    await ben.locator('#status', { hasText: 'reconnecting' }).waitFor();
    for (const text of ['missed one', 'missed two']) {
      await say(ann, text);
      await line(ann, 'message', text).waitFor();
    }

    cable.mend();
    await ben.locator('#status', { hasText: /^\s*connected\s*$/ }).waitFor();
    for (const text of ['missed one', 'missed two']) await line(ben, 'message', text).waitFor();
    await say(ann, 'after');
    await line(ben, 'message', 'after').waitFor();
    const texts = await ben.locator('#messages li.message').allInnerTexts();
    const order = ['before', 'missed one', 'missed two', 'after'];
    const seen = order.map((wanted) => texts.filter((text) => text.includes(wanted)).length);
    assert.deepEqual(seen, [1, 1, 1, 1], `each once: ${JSON.stringify(texts)}`);
    const places = order.map((wanted) => texts.findIndex((text) => text.includes(wanted)));
    assert.deepEqual(places, places.toSorted((a, b) => a - b), `in order: ${JSON.stringify(texts)}`);
  } finally {
    cable.cut();
    cable.close();
  }
})));

test('two who write <script> are shown text', () => visitor(async (context) => {
  const ann = await openTab(context, 'ann', 'markup');
  await say(ann, '<img src=x onerror="document.title=\'owned\'"><b>bold</b>');
  await line(ann, 'message', '<b>bold</b>').waitFor();
  assert.equal(await ann.locator('#messages img, #messages b:text("bold")').count(), 0);
  assert.notEqual(await ann.title(), 'owned');
}));

/** A TCP connection that can be cut and mended between a page and the server. */
class Cable {
  #sockets = new Set();
  #whole = true;

  static async to(port) {
    const cable = new Cable();
    cable.listener = createServer((near) => {
      if (!cable.#whole) return near.destroy();
      const far = connect(port, '127.0.0.1');
      for (const socket of [near, far]) {
        cable.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => { near.destroy(); far.destroy(); cable.#sockets.delete(socket); });
      }
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => cable.listener.once('listening', listening));
    cable.port = cable.listener.address().port;
    return cable;
  }

  cut() {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#whole = true;
  }

  close() {
    this.listener.close();
  }
}
