import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A replica's own way to the database, which can be cut or held without touching anybody else's. */
export interface Wire extends AsyncDisposable {
  /** The database's URL over this wire. */
  readonly url: string;
  /** Ends every connection and takes no new one: a server that is gone, or a process that is. */
  cut(): void;
  mend(): void;
  /** Nothing moves in either direction: a process that is paused. */
  freeze(): void;
  thaw(): void;
}

export async function openWire(databaseUrl: string): Promise<Wire> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let isCut = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A cut is the point of it.
    socket.on('error', () => socket.destroy());
  };
  const server = createServer((near) => {
    keep(near);
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    keep(far);
    near.pipe(far).pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(databaseUrl);
  url.port = `${(server.address() as AddressInfo).port}`;
  const each = (act: (socket: Socket) => void) => {
    for (const socket of sockets) act(socket);
  };
  return {
    url: url.href,
    cut: () => {
      isCut = true;
      each((socket) => socket.destroy());
    },
    mend: () => {
      isCut = false;
    },
    freeze: () => each((socket) => socket.pause()),
    thaw: () => each((socket) => socket.resume()),
    [Symbol.asyncDispose]: async () => {
      each((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}
