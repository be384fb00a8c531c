import { connect, createServer, type Socket } from 'node:net';
import { listenOnLoopback } from './ports.ts';

/**
 * Starts a pooler that lends its sessions for one transaction at a time, the one last returned first, as PgBouncer does
 * in transaction mode. A client logs in with a session of its own, which joins the pool while it has room.
 */
export async function startTransactionPooler(url: string, poolSize: number) {
  const { hostname, port } = new URL(url);
  const idle: Socket[] = [];
  const waiting: ((session: Socket) => void)[] = [];
  const clients = new Map<Socket, Socket>();
  let sessions = 0;

  const giveBack = (session: Socket) => {
    const next = waiting.shift();
    if (next) next(session);
    else idle.push(session);
  };

  const login = (client: Socket) => {
    sessions += 1;
    const session = connect(Number(port), hostname).on('error', () => client.destroy());
    const isPooled = sessions <= poolSize;
    let rest = Buffer.alloc(0);
    clients.set(client, session);
    session.on('data', (data) => {
      const borrower = [...clients].find(([, each]) => each === session)?.[0];
      borrower?.write(data);
      rest = Buffer.concat([rest, data]);
      // A message has a letter, and a length that includes itself.
      for (let size = 1; rest.length > 4 && rest.length >= (size = 1 + rest.readUInt32BE(1)); ) {
        const isReady = rest.toString('latin1', 0, 1) === 'Z' && rest.toString('latin1', 5, 6) === 'I';
        rest = rest.subarray(size);
        if (!isReady || borrower === undefined) continue;
        clients.delete(borrower);
        if (isPooled) giveBack(session);
        else session.end();
      }
    });
  };

  const server = createServer((client) => {
    client.on('error', () => undefined).on('close', () => clients.delete(client));
    login(client);
    client.on('data', (data) => {
      const send = (session: Socket) => {
        clients.set(client, session);
        session.write(data);
      };
      const session = clients.get(client) ?? idle.pop();
      // The end of a client is not the end of the session.
      if (data.toString('latin1', 0, 1) === 'X') return;
      if (session === undefined) waiting.push(send);
      else send(session);
    });
  });
  return {
    url: Object.assign(new URL(url), { port: await listenOnLoopback(server) }).href,
    close: () => {
      for (const session of [...idle, ...clients.values(), ...clients.keys()]) session.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
