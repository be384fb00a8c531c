import { connect as connectTo, createServer, type Socket } from 'node:net';
import { listenOnLoopback } from './ports.ts';

/** What happens to a chunk that the client has sent. */
type Fate = 'pass' | 'drop' | 'freeze';

/**
 * A relay on loopback in front of a server: one process's own way to it, which can be counted, cut or
 * held without touching anybody else's.
 */
export interface Wire extends AsyncDisposable {
  readonly port: number;
  /** The pieces that the client has sent so far: a request, or one or more statements of a connection. */
  readonly sent: number;
  /** Decides about each piece, counted from 1; the default passes all. */
  onSent: (nth: number, bytes: Buffer) => Fate;
  /** Ends every connection and takes no new one: a server that is gone, or a process that is. */
  cut(): void;
  mend(): void;
  /** Lets everything move again, after a fate that froze it as a process that is paused. */
  thaw(): void;
}

export async function startWire(targetPort: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  const each = (act: (socket: Socket) => void) => sockets.forEach(act);
  let held: (() => void)[] = [];
  let [sent, isCut, isFrozen] = [0, false, false];
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = connectTo(targetPort, '127.0.0.1');
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      // What has been passed on still arrives: only then is the other side told that it is over.
      socket.once('end', () => (socket === client ? upstream : client).end());
      socket.once('error', end);
      socket.once('close', () => sockets.delete(socket));
    }
    upstream.on('data', (bytes) => void client.write(bytes));
    client.on('data', (bytes) => {
      sent += 1;
      const fate = wire.onSent(sent, bytes);
      if (fate === 'freeze') {
        isFrozen = true;
        each((socket) => socket.pause());
        held.push(() => void upstream.write(bytes));
      } else if (fate === 'pass') upstream.write(bytes);
    });
    if (isFrozen) for (const socket of [client, upstream]) socket.pause();
  });
  const wire: Wire = {
    port: await listenOnLoopback(server),
    get sent() {
      return sent;
    },
    onSent: () => 'pass',
    cut() {
      isCut = true;
      each((socket) => socket.destroy());
    },
    mend() {
      isCut = false;
    },
    thaw() {
      isFrozen = false;
      for (const pass of held) pass();
      held = [];
      each((socket) => socket.resume());
    },
    async [Symbol.asyncDispose]() {
      each((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return wire;
}

export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** Returns the same address by way of the wire. */
export function through(wire: Pick<Wire, 'port'>, url: string): string {
  const target = new URL(url);
  target.hostname = '127.0.0.1';
  target.port = String(wire.port);
  return target.href.replace(/\/$/, '');
}
