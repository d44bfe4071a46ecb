// examples/fastapi-parity, path by path, with npm's `ws`.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, test } from 'node:test';
import { ANY, Client, refusal } from './client.mjs';
import { JWT_SECRET, PARITY, Server, token, variant } from './server.mjs';

// Started here and not in a hook: if they do not start, that is said once instead of by each test.
const server = await new Server(PARITY).start();
const copy = variant(PARITY, ['schemas', 'sessions.yaml'], (text) => text.replaceAll('reject: http', 'reject: close'));
const closing = await new Server(copy.path).start();
const open = [];

after(async () => {
  copy.remove();
  await server.stop();
  await closing.stop();
});

// Each test ends its own connections, in the order of their opening.
function channel(name, body) {
  test(name, async () => {
    try {
      await body();
    } catch (error) {
      error.message += `\noutput of the server:\n${server.tail()}`;
      throw error;
    } finally {
      for (const client of open.splice(0)) await client.close();
    }
  });
}

async function json(path, options) {
  open.push(await Client.json(server, path, options));
  return open.at(-1);
}

async function text(path) {
  open.push(await Client.text(server, path));
  return open.at(-1);
}

const of = (type) => (frame) => frame.type === type;

channel('/ws echoes text', async () => {
  const ann = await text('/ws');
  ann.send('hi');
  await ann.expectText('Message received: hi');
});

channel('/ws/json echoes any JSON and survives broken JSON', async () => {
  const ann = await json('/ws/json');
  for (const data of [{ a: [1, null] }, [1, 'two'], 'text', 5, false, null]) {
    ann.send(JSON.stringify(data));
    const frame = await ann.expect({ type: 'echo', timestamp: ANY });
    assert.deepEqual(frame.data, data);
    assert.ok(!Number.isNaN(Date.parse(frame.timestamp)), frame.timestamp);
  }
  ann.send('{broken');
  await ann.expect({ type: 'error', code: 'bad_json' });
  ann.send('"still here"');
  await ann.expect({ type: 'echo', data: 'still here' });
});

channel('/ws/{client_id} answers its author and tells everyone', async () => {
  const seven = await text('/ws/node-7');
  await seven.expectText('Client #node-7 joined the chat');
  const eight = await text('/ws/node-8');
  await eight.expectText('Client #node-8 joined the chat');
  await seven.expectText('Client #node-8 joined the chat');
  seven.send('hi');
  await seven.expectText('You wrote: hi', 'Client #node-7 says: hi');
  await eight.expectText('Client #node-7 says: hi');
  await eight.close();
  await seven.expectText('Client #node-8 left the chat');
});

channel('/ws/room/{room_id} announces, counts, and keeps rooms apart', async () => {
  const ann = await json('/ws/room/node-a');
  const ben = await json('/ws/room/node-a');
  const eve = await json('/ws/room/node-b');
  await ann.expect({ type: 'user_joined', room: 'room:node-a', users_count: 2, user: { user_id: ben.welcome.user.user_id } });
  ben.send({ type: 'message', data: { text: 'hi' }, id: 'm' });
  await ben.expect({ type: 'ack', id: 'm', message_id: ANY });
  const frame = await ann.expect({ type: 'message', room: 'room:node-a', data: { text: 'hi' }, timestamp: ANY });
  assert.equal(frame.sender.user_id, ben.welcome.user.user_id);
  assert.deepEqual((await eve.settle()).filter(of('message')), []);
  ann.send({ type: 'message', data: { text: 5 }, id: 'bad' });
  await ann.expect({ type: 'error', id: 'bad', code: 'schema', details: [{ path: '/text' }] });
  await ben.close();
  await ann.expect({ type: 'user_left', room: 'room:node-a', users_count: 1 });
});

channel('/ws/authenticated knows the user', async () => {
  const ann = await json(`/ws/authenticated?token=${token('n42')}`);
  assert.equal(ann.welcome.user.user_id, 'n42');
  assert.equal(ann.welcome.user.username, 'name-of-n42');
  ann.send({ type: 'say', data: { text: 'hi' }, id: 'q' });
  await ann.expect({ type: 'say', id: 'q', data: { user_id: 'n42', text: 'hi' } });
});

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rs256 = token('1', { header: { alg: 'RS256' }, secret: null }).slice(0, -1);
const badTokens = {
  missing: undefined,
  malformed: 'not-a-token',
  expired: token('1', { exp: 1_000_000_000 }),
  'without exp': token('1', { exp: undefined }),
  'signed with another key': token('1', { secret: 'another-secret-of-at-least-32-bytes!' }),
  'alg none': token('1', { header: { alg: 'none' }, secret: null }),
  'alg none, signed': token('1', { header: { alg: 'none' } }),
  HS512: token('1', { header: { alg: 'HS512' }, hash: 'sha512' }),
  RS256: `${rs256}.${sign('sha256', Buffer.from(rs256), privateKey).toString('base64url')}`,
  'RS256 in name, HMAC in fact': token('1', { header: { alg: 'RS256' }, secret: JWT_SECRET }),
};

for (const path of ['/ws/authenticated', '/ws/advanced', '/ws/notifications/1']) {
  for (const [what, bad] of Object.entries(badTokens)) {
    channel(`${path} refuses a token: ${what}`, async () => {
      const target = bad === undefined ? path : `${path}?token=${bad}`;
      assert.equal(await refusal(server, target), 401);
      assert.equal(await refusal(closing, target), 1008);
    });
  }
}

const cookie = (value) => ({ headers: { cookie: `session_token=${value}` } });

channel('/ws/cookie-auth looks the session up', async () => {
  const ben = await json('/ws/cookie-auth', cookie('session-of-ben'));
  assert.equal(ben.welcome.user.user_id, '2');
  ben.send({ type: 'say', data: { text: 'hi' }, id: 'q' });
  await ben.expect({ type: 'say', id: 'q', data: { user_id: '2' } });
});

for (const [what, options] of Object.entries({ missing: {}, unknown: cookie('session-of-nobody'), expired: cookie('session-that-ended') })) {
  channel(`/ws/cookie-auth refuses a session: ${what}`, async () => {
    assert.equal(await refusal(server, '/ws/cookie-auth', options), 401);
    assert.equal(await refusal(closing, '/ws/cookie-auth', options), 1008);
  });
}

channel('/ws/advanced: users, not connections, come and go', async () => {
  const ann = await json(`/ws/advanced?token=${token('n-ann')}`);
  const ben = await json(`/ws/advanced?token=${token('n-ben')}`);
  await ann.expect({ type: 'user_online', user: { user_id: 'n-ben', username: 'name-of-n-ben' } });
  const online = await ben.expect({ type: 'online_users', users: ANY });
  const listed = online.users.find((user) => user.user_id === 'n-ann');
  assert.equal(listed?.username, 'name-of-n-ann');
  assert.equal(listed?.connections, 1);
  const benAgain = await json(`/ws/advanced?token=${token('n-ben')}`);
  await benAgain.settle();
  await ben.close();
  ann.send({ type: 'typing', data: { typing: true } });
  await benAgain.expect({ type: 'typing', data: { typing: true } });
  ann.send({ type: 'direct', data: { user_id: 'n-ben', text: 'psst' }, id: 'd' });
  await benAgain.expect({ type: 'direct', data: { text: 'psst' }, sender: { user_id: 'n-ann' } });
  ann.send({ type: 'message', data: { text: 'all' } });
  for (const reader of [ann, benAgain]) await reader.expect({ type: 'message', data: { text: 'all' } });
  assert.deepEqual(ann.seen.filter((frame) => ['typing', 'direct', 'user_offline'].includes(frame.type)), []);
  await benAgain.close();
  await ann.expect({ type: 'user_offline', user: { user_id: 'n-ben' } });
});

channel('/ws/robust acknowledges everything and survives what is broken', async () => {
  const ann = await json('/ws/robust');
  ann.send({ type: 'report', data: { n: 1 } });
  await ann.expect({ type: 'ack' });
  ann.send({ type: 'report', data: { n: 2 }, id: 'two' });
  await ann.expect({ type: 'ack', id: 'two' });
  ann.send('{broken');
  await ann.expect({ type: 'error', code: 'bad_json' });
  ann.send({ type: 'report', data: { n: 3 }, id: 'three' });
  await ann.expect({ type: 'ack', id: 'three' });
});

channel('/ws/notifications/{user_id}: pending first, then live, nothing lost while away', async () => {
  const path = `/ws/notifications/n9?token=${token('n9')}`;
  const titled = (title) => ({ type: 'notification', room: 'user:n9', data: { title } });
  for (const title of ['one', 'two']) assert.equal((await server.publish('user:n9', 'notification', { title })).status, 200);
  const ann = await json(path);
  await ann.expect(titled('one'));
  await ann.expect(titled('two'));
  assert.equal((await server.publish('user:n9', 'notification', { title: 'live' })).status, 200);
  await ann.expect(titled('live'));
  await ann.close();
  assert.equal((await server.publish('user:n9', 'notification', { title: 'while away' })).status, 200);
  const again = await json(path);
  await again.expect(titled('while away'));
  assert.deepEqual(again.seen.filter(of('notification')).map((frame) => frame.data.title), ['while away']);
});

channel('/ws/notifications/{user_id} is for its user alone', async () => {
  const path = `/ws/notifications/n9?token=${token('n10')}`;
  assert.equal(await refusal(server, path), 403);
  assert.equal(await refusal(closing, path), 1008);
  assert.equal((await server.publish('user:n9', 'notification', { title: 'x' }, null)).status, 401);
  assert.equal((await server.publish('user:n9', 'notification', { title: 'x' }, 'wrong')).status, 401);
});
