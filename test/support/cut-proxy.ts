import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net';

/** What becomes of a message: it is not sent on, its answer is lost, or it waits for ever. */
export type Fate = 'cut' | 'answer lost' | 'held';

/** A line between the program and Postgres that fails at a chosen message. */
export interface CutProxy extends AsyncDisposable {
  readonly url: string;
  /** Lets the nth message that has the text meet its fate; what comes later is sent on. Resolves when it has come. */
  meet(text: string, nth: number, fate: Fate): Promise<void>;
}

export async function startCutProxy(databaseUrl: string): Promise<CutProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let trap: { text: string; left: number; fate: Fate; sprung: () => void } | null = null;
  const server = createServer((client) => {
    const upstream = connectTo(Number(target.port), target.hostname);
    let isAnswerLost = false;
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', end).on('close', end);
    }
    upstream.on('data', (bytes) => {
      if (isAnswerLost) end();
      else client.write(bytes);
    });
    client.on('data', (bytes) => {
      if (trap === null || !bytes.includes(trap.text) || --trap.left > 0) {
        upstream.write(bytes);
        return;
      }
      const { fate, sprung } = trap;
      trap = null;
      if (fate === 'cut') end();
      isAnswerLost = fate === 'answer lost';
      if (isAnswerLost) upstream.write(bytes);
      sprung();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(databaseUrl);
  url.port = `${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    meet: (text, nth, fate) =>
      new Promise((sprung) => {
        trap = { text, left: nth, fate, sprung };
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
