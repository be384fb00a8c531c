import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { lastOf, readCopy, readInstructions } from './dockerfile.ts';

const project = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly devDependencies: { readonly node: string };
};

test('every stage starts from the Node of this project, by its whole version', () => {
  const bases = readInstructions().filter(
    ({ name, text }) => name === 'FROM' || text.includes('NODE_IMAGE='),
  );
  expect(bases.map(({ text }) => text.split(' ')[0])).toEqual([
    `NODE_IMAGE=node:${project.devDependencies.node}-trixie-slim`,
    ...Array<string>(3).fill('${NODE_IMAGE}'),
  ]);
});

test('whatever is copied exists, and is let through to the builder', () => {
  const copied = readInstructions()
    .filter(({ name }) => name === 'COPY')
    .map(({ text }) => readCopy(text))
    .filter(({ from }) => from === null)
    .flatMap(({ sources }) => sources);
  const ignore = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(copied.filter((source) => !existsSync(source))).toEqual([]);
  expect(ignore.shift()).toBe('*');
  expect(ignore.map((line) => line.slice(1)).toSorted()).toEqual([...new Set(copied)].toSorted());
});

/** Returns the exit code of the image's health check, with a server that answers so; null: nobody listens. */
async function healthcheck(status: number | null): Promise<number | null> {
  const [node = '', ...args] = JSON.parse(lastOf('HEALTHCHECK').replace(/^.*?CMD /, '')) as string[];
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

test('the image is healthy when /healthz answers 200, and not when it answers 503 or nobody does', async () => {
  expect([await healthcheck(200), await healthcheck(503), await healthcheck(null)]).toEqual([0, 1, 1]);
});
