import { createServer, request as sendOn } from 'node:http';
import { listenOnLoopback } from './ports.ts';

/** A proxy between the program and a platform that records every request. */
export interface RecordingProxy extends AsyncDisposable {
  readonly url: string;
  /** `METHOD path` of each request, without its query and with its ids unchanged. */
  readonly seen: string[];
  /** The methods whose requests are carried out and whose answers are lost. */
  readonly losesAnswersTo: Set<string>;
  /** Runs once, after the platform has responded and before the program has the response. */
  afterAnswerTo(request: RegExp, run: () => Promise<void>): void;
}

export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const { hostname, port } = new URL(target);
  const seen: string[] = [];
  const losesAnswersTo = new Set<string>();
  const hooks: { request: RegExp; run: () => Promise<void> }[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    seen.push(`${method} ${url.replace(/\?.*/, '')}`);
    const onward = sendOn({ hostname, port, method, path: url, headers }, (answer) => {
      if (losesAnswersTo.has(method)) {
        answer.resume().on('end', () => response.destroy());
        return;
      }
      const passOn = () => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      };
      const hook = hooks[0]?.request.test(`${method} ${url}`) ? hooks.shift() : undefined;
      Promise.resolve(hook?.run()).then(passOn, () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  return {
    url: `http://127.0.0.1:${await listenOnLoopback(server)}`,
    seen,
    losesAnswersTo,
    afterAnswerTo: (request, run) => hooks.push({ request, run }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
