import { createServer, Socket } from 'node:net';
import pg from 'pg';

/**
 * A connection pooler in transaction mode with a single connection to the server, which its clients
 * have in turns: each for a transaction. One that waits for too long is refused, as by PgBouncer.
 */
export interface Pooler extends AsyncDisposable {
  readonly port: number;
}

interface Client {
  readonly socket: Socket;
  buffer: Buffer;
  isGreeted: boolean;
  waiting: Buffer[];
  waitsSince: NodeJS.Timeout | null;
}

/** The longest wait for a turn; a client that holds the connection while it waits for another never gets it. */
const WAIT_MAX_MS = 8_000;

const message = (type: string, body: readonly number[]) => {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type);
  bytes.writeInt32BE(4 + body.length, 1);
  bytes.set(body, 5);
  return bytes;
};

/** Authenticated, a key of no use, ready for a query: the pooler lets everybody in. */
const GREETING = Buffer.concat([
  message('R', [0, 0, 0, 0]),
  message('K', [0, 0, 0, 1, 0, 0, 0, 1]),
  message('Z', [0x49]),
]);
const STARTUP = 196_608;

export async function startPooler(databaseUrl: string): Promise<Pooler> {
  const clients = new Set<Client>();
  let upstream: Socket | null = null;
  let owner: Client | null = null;
  /** Messages of the owner that the server still answers with ReadyForQuery. */
  let unanswered = 0;
  let isPumping = false;

  const leave = (client: Client) => {
    if (!clients.delete(client)) return;
    if (client.waitsSince) clearTimeout(client.waitsSince);
    client.socket.destroy();
    if (owner !== client) return;
    // What it has left open is undone by ending the server's session.
    upstream?.destroy();
  };

  const openUpstream = async (): Promise<Socket> => {
    const socket = new Socket();
    // pg connects it and signs in; from then on it is the pooler's.
    const session = new pg.Client({ connectionString: databaseUrl, stream: () => socket });
    session.on('error', () => undefined);
    await session.connect();
    socket.removeAllListeners('data');
    let buffer: Buffer = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      buffer = Buffer.concat([buffer, bytes]);
      while (buffer.length >= 5 && buffer.length > buffer.readInt32BE(1)) {
        const size = buffer.readInt32BE(1) + 1;
        const [type, status] = [buffer[0], buffer[size - 1]];
        owner?.socket.write(buffer.subarray(0, size));
        buffer = buffer.subarray(size);
        if (type === 0x5a) release(status === 0x49);
      }
    });
    socket.once('close', () => {
      upstream = null;
      const left = owner;
      owner = null;
      unanswered = 0;
      if (left) leave(left);
      pump();
    });
    return socket;
  };

  /** Notes an answered message, and gives the connection on at the end of a transaction. */
  const release = (isIdle: boolean) => {
    unanswered -= 1;
    if (unanswered > 0 || !isIdle) return;
    owner = null;
    pump();
  };

  /** Gives the connection to the next client that waits for it. */
  const pump = (): void => {
    giveTurn().catch(() => undefined);
  };

  const giveTurn = async (): Promise<void> => {
    if (isPumping) return;
    isPumping = true;
    try {
      owner ??= [...clients].find(({ waiting }) => waiting.length > 0) ?? null;
      const turn = owner;
      if (!turn) return;
      upstream ??= await openUpstream();
      if (turn.waitsSince) clearTimeout(turn.waitsSince);
      turn.waitsSince = null;
      for (const bytes of turn.waiting.splice(0)) {
        if (bytes[0] === 0x51 || bytes[0] === 0x53) unanswered += 1;
        upstream.write(bytes);
      }
    } catch {
      const left = owner;
      owner = null;
      if (left) leave(left);
    } finally {
      isPumping = false;
    }
    if (!owner && [...clients].some(({ waiting }) => waiting.length > 0)) await giveTurn();
  };

  const receive = (client: Client, bytes: Buffer) => {
    client.buffer = Buffer.concat([client.buffer, bytes]);
    while (!client.isGreeted && client.buffer.length >= 8) {
      const size = client.buffer.readInt32BE(0);
      if (client.buffer.length < size) return;
      const isStartup = client.buffer.readInt32BE(4) === STARTUP;
      client.buffer = client.buffer.subarray(size);
      client.isGreeted = isStartup;
      client.socket.write(isStartup ? GREETING : 'N');
    }
    while (client.buffer.length >= 5 && client.buffer.length > client.buffer.readInt32BE(1)) {
      const size = client.buffer.readInt32BE(1) + 1;
      const one = client.buffer.subarray(0, size);
      client.buffer = client.buffer.subarray(size);
      if (one[0] === 0x58) return leave(client);
      client.waiting.push(one);
    }
    if (client.waiting.length === 0) return;
    if (owner !== client) client.waitsSince ??= setTimeout(() => leave(client), WAIT_MAX_MS);
    pump();
  };

  const server = createServer((socket) => {
    const client = { socket, buffer: Buffer.alloc(0), isGreeted: false, waiting: [], waitsSince: null };
    clients.add(client);
    socket.setNoDelay(true);
    socket.on('data', (bytes) => receive(client, bytes));
    socket.on('error', () => leave(client));
    socket.on('close', () => leave(client));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose]() {
      for (const client of clients) leave(client);
      upstream?.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
