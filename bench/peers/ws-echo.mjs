// Peer: the least a happn server could do. Parses each request and answers one of the same shape. Prints its port.

import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false }, () =>
  console.log(`port ${server.address().port}`),
);
server.on('connection', (socket) => {
  socket.on('message', (bytes) => {
    const request = JSON.parse(bytes.toString());
    const answer = {
      data: request.data ?? {},
      _meta: {
        path: request.path,
        created: Date.now(),
        modified: Date.now(),
        published: true,
        type: 'response',
        status: 'ok',
        eventId: request.eventId,
        sessionId: request.sessionId,
        action: request.action,
      },
      protocol: 'happn_4',
    };
    socket.send(JSON.stringify(answer), { binary: false });
  });
});
