// Publishes to sockudo for a load client that speaks nothing but WebSocket.
//
// Client events need private channels, whose every subscription is signed with a socket id that the server has just made up: no plain
// client can do that. So readers subscribe to public channels by themselves, and publishers send their messages here: each goes on
// over the HTTP API, which is the other way that an application has. This runs beside the load, not on the server's core; what waits
// while a request is under way leaves with the next as one batch.
import { createHash, createHmac } from 'node:crypto';
import { Agent, request } from 'node:http';
import { WebSocketServer } from 'ws';

const { PORT, SOCKUDO_PORT } = process.env;
const BATCH_MAX = 100;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const waiting = [];
let isSending = false;

function post(path, body) {
  const query = [
    'auth_key=bench',
    `auth_timestamp=${Math.floor(Date.now() / 1000)}`,
    'auth_version=1.0',
    `body_md5=${createHash('md5').update(body).digest('hex')}`,
  ].join('&');
  const signature = createHmac('sha256', 'bench-secret').update(`POST\n${path}\n${query}`).digest('hex');
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const options = {
    agent, headers, method: 'POST', host: '127.0.0.1', port: SOCKUDO_PORT, path: `${path}?${query}&auth_signature=${signature}`,
  };
  return new Promise((resolve, reject) => {
    const sent = request(options, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode}`));
      answer.resume().on('end', resolve);
    });
    sent.on('error', reject).end(body);
  });
}

async function send() {
  if (isSending) return;
  isSending = true;
  while (waiting.length > 0) {
    const batch = waiting.splice(0, BATCH_MAX);
    if (batch.length === 1) await post('/apps/bench/events', JSON.stringify(batch[0]));
    else await post('/apps/bench/batch_events', JSON.stringify({ batch }));
  }
  isSending = false;
}

new WebSocketServer({ host: '127.0.0.1', port: Number(PORT), backlog: 4096 }).on('connection', (socket, { url }) => {
  const channel = `room-${url.split('/').pop()}`;
  socket.on('message', (message) => {
    // What every connection of the load says first.
    if (message.includes('"pusher:subscribe"')) {
      socket.send('{"event":"pusher_internal:subscription_succeeded"}');
      return;
    }
    waiting.push({ channel, name: 'message', data: message.toString() });
    send();
  });
});
