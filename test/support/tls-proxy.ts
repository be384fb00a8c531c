import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { listenOnLoopback } from './ports.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));

/** A self-signed certificate for the host name `localhost` alone, of no use for anything else. */
export const CERTIFICATE_FILE = fixture('certificate.pem');

export interface TlsProxy {
  /** Returns the database's URL through the proxy, for a host name and a query. */
  readonly urlVia: (host: string, query: string) => string;
  close(): Promise<void>;
}

/**
 * Starts TLS in front of a Postgres: answers the client's SSLRequest, decrypts, and passes everything
 * on to the server of `url`.
 */
export async function startTlsProxy(url: string): Promise<TlsProxy> {
  const sockets = new Set<Socket>();
  const target = new URL(url);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    // The Postgres documentation calls this "SSLRequest": eight bytes, answered by one.
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
  const port = await listenOnLoopback(server);
  return {
    urlVia: (host, query) => Object.assign(new URL(url), { host: `${host}:${port}`, search: query }).href,
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
