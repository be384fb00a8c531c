import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));

/** Self-signed for the host name `localhost` alone, and good for nothing else. */
export const CERTIFICATE_FILE = fixture('certificate.pem');

export interface TlsProxy {
  /** The database's URL through the proxy, by a host name and with a query. */
  readonly urlVia: (host: string, query: string) => string;
  close(): Promise<void>;
}

/** A Postgres behind TLS: it answers the client's SSLRequest, decrypts, and passes everything on to the server of `url`. */
export async function startTlsProxy(url: string): Promise<TlsProxy> {
  const sockets = new Set<Socket>();
  const target = new URL(url);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    // "SSLRequest" in the Postgres documentation: eight bytes, answered by one.
    socket.once('data', () => {
      socket.write('S');
      const key = readFileSync(fixture('key.pem'));
      const cert = readFileSync(CERTIFICATE_FILE);
      const clear = new TLSSocket(socket, { isServer: true, key, cert });
      const behind = connect(Number(target.port), target.hostname);
      sockets.add(behind);
      clear.on('error', () => behind.destroy());
      behind.on('error', () => clear.destroy());
      clear.pipe(behind).pipe(clear);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    urlVia: (host, query) => Object.assign(new URL(url), { host: `${host}:${port}`, search: query }).href,
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
