import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { getLast, readCopy, readInstructions } from './dockerfile.ts';

const project = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly devDependencies: { readonly node: string };
};

test('every stage starts from the Node version of this project', () => {
  const bases = readInstructions().filter(({ name, text }) => name === 'FROM' || text.includes('NODE_IMAGE='));
  expect(bases.map(({ text }) => text.split(' ')[0])).toEqual([
    `NODE_IMAGE=node:${project.devDependencies.node}-trixie-slim`,
    ...Array<string>(2).fill('${NODE_IMAGE}'),
  ]);
});

test('everything that is copied exists, and .dockerignore lets it pass', () => {
  const sources = readInstructions()
    .filter(({ name }) => name === 'COPY')
    .map(({ text }) => readCopy(text))
    .filter(({ from }) => from === null)
    .flatMap((copy) => copy.sources);
  const ignore = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(sources.filter((source) => !existsSync(source))).toEqual([]);
  expect(ignore.shift()).toBe('*');
  expect(ignore.map((line) => line.slice(1)).toSorted()).toEqual([...new Set(sources)].toSorted());
});

/** Returns the exit code of the image's health check with a server that responds with `status`; null: no server. */
async function runHealthcheck(status: number | null): Promise<number | null> {
  const [node = '', ...args] = JSON.parse(getLast('HEALTHCHECK').replace(/^.*?CMD /, '')) as string[];
  expect(node).toBe('node');
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/healthz' ? (status ?? 0) : 404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  if (status === null) server.close();
  const env = { HTTP_PORT: `${port}` };
  const child = spawn(process.execPath, args, { env, stdio: 'ignore', timeout: 10_000 });
  const [code] = (await once(child, 'close')) as [number | null];
  server.close();
  return code;
}

test('the image is healthy if /healthz responds with 200, and not with 503 or without a response', async () => {
  expect([await runHealthcheck(200), await runHealthcheck(503), await runHealthcheck(null)]).toEqual([0, 1, 1]);
});
