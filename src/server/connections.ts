import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Keeps a server at no more than `max` connections. A new one replaces the one that has been without a
 * request for longest, so that silent clients keep nobody waiting. If all have a request under way,
 * the new one is dropped.
 */
export function limitConnections(server: Server, max: number): void {
  /** Idle connections in the order in which they became idle. */
  const idle = new Set<Socket>();
  const requests = new Map<Socket, number>();
  server.on('connection', (socket: Socket) => {
    if (idle.size + requests.size >= max) {
      const [oldest] = idle;
      if (oldest === undefined) {
        socket.destroy();
        return;
      }
      idle.delete(oldest);
      oldest.destroy();
    }
    idle.add(socket);
    socket.once('close', () => {
      idle.delete(socket);
      requests.delete(socket);
    });
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    requests.set(socket, (requests.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (requests.get(socket) ?? 1) - 1;
      if (left > 0) {
        requests.set(socket, left);
        return;
      }
      requests.delete(socket);
      if (!socket.destroyed) idle.add(socket);
    });
  });
}
