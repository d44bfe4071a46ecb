// permessage-deflate with npm's `ws`.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { ROOT, Server } from './server.mjs';

const server = await new Server(join(ROOT, 'tests/clients/configs/compression.yaml')).start();
after(() => server.stop());

const OFFERS = {
  'the default': true,
  'no context taken over': { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
  'a small window asked for': { serverMaxWindowBits: 9, threshold: 0 },
  'a small window of its own': { clientMaxWindowBits: 9, threshold: 0 },
};

for (const [name, perMessageDeflate] of Object.entries(OFFERS)) {
  test(`what is sent comes back: ${name}`, async () => {
    const client = await Client.text(server, '/echo', { perMessageDeflate });
    assert.match(client.socket.extensions, /permessage-deflate/);
    for (const size of [0, 1, 125, 126, 1000, 32_768, 65_536, 200_000]) {
      for (const text of ['ä€'.repeat(size / 2), JSON.stringify([...Array(size >> 4).keys()])]) {
        client.socket.send(text);
        assert.equal(await client.next('the echo'), text);
        const [half, rest] = [text.slice(0, size / 3), text.slice(size / 3)];
        client.socket.send(half, { fin: false });
        client.socket.send(rest, { fin: true });
        assert.equal(await client.next('the echo of fragments'), text);
      }
    }
    await client.close();
  });
}

test('a room whose members compress or not', async () => {
  const members = [
    await Client.json(server, '/json/node', { perMessageDeflate: true }),
    await Client.json(server, '/json/node', { perMessageDeflate: false }),
    await Client.json(server, '/plain/node', { perMessageDeflate: true }),
  ];
  assert.deepEqual(members.map((member) => /permessage-deflate/.test(member.socket.extensions)), [true, false, false]);
  for (const data of ['short', 'long '.repeat(1000)]) {
    members[1].send({ type: 'line', data });
    for (const member of members) await member.expect({ type: 'line', data });
  }
  for (const member of members) await member.close();
});
