import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

export interface FakePostgres {
  readonly url: string;
  close(): void;
}

/**
 * Just enough of the wire protocol to log in anyone and to answer every prepared
 * query with one row of two texts: a server of a version that can't be had here.
 * With `version` null it accepts connections and never says a word.
 */
export async function startFakePostgres(version: string | null): Promise<FakePostgres> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (version !== null) answer(socket, version);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `postgres://anyone:canary-9f2c@127.0.0.1:${port}/usage`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** See "Message Formats" in the Postgres documentation. */
function answer(socket: Socket, version: string): void {
  let isStarted = false;
  socket.on('data', (data) => {
    // A batch of the extended protocol ends in Sync, and pg writes it as one.
    const isSync = data.subarray(-5).equals(message('S', []));
    if (!isStarted) socket.write(Buffer.concat([message('R', [int32(0)]), ready()]));
    else if (isSync) socket.write(Buffer.concat([...row('', version), ready()]));
    else if (data[0] === 'X'.charCodeAt(0)) socket.end();
    isStarted = true;
  });
}

function row(...values: readonly string[]): Buffer[] {
  const fields = ['set_config', 'version'].map((name) =>
    Buffer.concat([text(name), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)]),
  );
  const columns = values.map((value) => Buffer.concat([int32(value.length), Buffer.from(value)]));
  return [
    message('1', []),
    message('2', []),
    message('T', [int16(fields.length), ...fields]),
    message('D', [int16(columns.length), ...columns]),
    message('C', [text('SELECT 1')]),
  ];
}

function ready(): Buffer {
  return message('Z', [Buffer.from('I')]);
}

function message(type: string, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}
