import { createServer, request as sendOn } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stands between the program and a platform, and sees every request. */
export interface RecordingProxy extends AsyncDisposable {
  readonly url: string;
  /** `METHOD path` of each request, without its query; the ids in it as they are. */
  readonly seen: string[];
  /** When each of them came, by this host's clock. */
  readonly atMs: number[];
  /** Requests of these methods are carried out, and their answers lost. */
  readonly losesAnswersTo: Set<string>;
}

export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const { hostname, port } = new URL(target);
  const seen: string[] = [];
  const atMs: number[] = [];
  const losesAnswersTo = new Set<string>();
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    atMs.push(Date.now());
    seen.push(`${method} ${url.replace(/\?.*/, '')}`);
    const onward = sendOn({ hostname, port, method, path: url, headers }, (answer) => {
      if (losesAnswersTo.has(method)) {
        answer.resume().on('end', () => response.destroy());
        return;
      }
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    atMs,
    losesAnswersTo,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
