// A broadcast server as the documentation of `ws` has it, with rooms: what anyone in /ws/{room} sends, all in it hear; /echo answers.
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

const rooms = new Map();
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });

sockets.on('connection', (socket, request) => {
  socket.on('error', () => socket.terminate());
  const room = request.url.match(/^\/ws\/([^?]+)/)?.[1];
  if (room === undefined) {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    return;
  }
  const members = rooms.get(room) ?? new Set();
  rooms.set(room, members.add(socket));
  socket.on('message', (data, binary) => {
    for (const member of members) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary });
    }
  });
  socket.on('close', () => {
    members.delete(socket);
    if (members.size === 0) rooms.delete(room);
  });
});
server.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
