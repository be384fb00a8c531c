import { connect as connectTo, createServer, type Socket } from 'node:net';

/** What becomes of a piece that the client has sent. */
export type Fate = 'pass' | 'drop' | 'cut';

/** A relay on loopback in front of a server: it counts what the program sends and can end it there. */
export interface Wire extends AsyncDisposable {
  readonly port: number;
  /** Pieces the client has sent so far: a request, or one or more statements of a connection. */
  readonly sent: number;
  /** Decides about each piece, counted from 1; the default passes all. */
  onSent: (nth: number) => Fate;
}

export async function startWire(targetPort: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  let sent = 0;
  const server = createServer((client) => {
    const upstream = connectTo(targetPort, '127.0.0.1');
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      // What has been passed on still arrives: only then is the other side told that it is over.
      socket.once('end', () => (socket === client ? upstream : client).end());
      socket.once('error', cut);
      socket.once('close', () => sockets.delete(socket));
    }
    upstream.on('data', (bytes) => void client.write(bytes));
    client.on('data', (bytes) => {
      sent += 1;
      const fate = wire.onSent(sent);
      if (fate !== 'drop') upstream.write(bytes);
      if (fate === 'cut') cut();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const wire: Wire = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get sent() {
      return sent;
    },
    onSent: () => 'pass',
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return wire;
}

export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** The same address by way of the wire. */
export function through(wire: Wire, url: string): string {
  const target = new URL(url);
  target.hostname = '127.0.0.1';
  target.port = String(wire.port);
  return target.href.replace(/\/$/, '');
}
