import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { lastOf, readCopy, readStages } from './dockerfile.ts';

const project = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly devDependencies: { readonly node: string };
};

let server: Server | undefined;

afterEach(() => {
  server?.close();
});

test('every stage starts from the Node of this project, by its whole version', () => {
  const bases = readStages().map(({ base }) => base);
  expect(bases).toEqual(Array(3).fill('node:24.21.0-trixie-slim'));
  expect(project.devDependencies.node).toBe('24.21.0');
});

test('whatever is copied exists, and is let through to the builder', () => {
  const copied = readStages()
    .flatMap(({ instructions }) => instructions)
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

test('the image installs production dependencies only, and runs no install script', () => {
  const installs = readStages().map(({ instructions }) =>
    instructions.filter(({ name, text }) => name === 'RUN' && text.startsWith('npm')).map(({ text }) => text),
  );
  expect(installs).toEqual([
    ['npm ci --ignore-scripts --no-audit --no-fund'],
    ['npm ci --omit=dev --ignore-scripts --no-audit --no-fund'],
    [],
  ]);
});

test('it runs as a numbered user who is not root, without npm, and Node gets the signals', () => {
  expect(lastOf('USER')).toBe('1000:1000');
  expect(lastOf('RUN')).toMatch(/^rm -rf \/usr\/local\/lib\/node_modules \/usr\/local\/bin\/npm /);
  expect(JSON.parse(lastOf('ENTRYPOINT'))).toEqual([
    'node',
    '--max-old-space-size=256',
    '--max-semi-space-size=16',
    'bin/losant-usage.js',
  ]);
  expect(JSON.parse(lastOf('CMD'))).toEqual(['worker']);
});

test('nothing secret can be built in: no argument and no variable of the image is a secret', () => {
  const names = readStages()
    .flatMap(({ instructions }) => instructions)
    .filter(({ name }) => name === 'ARG' || name === 'ENV')
    .flatMap(({ text }) => [...text.matchAll(/(\w+)=/g)].map((match) => match[1]));
  expect(names).toEqual(['VERSION', 'REVISION', 'NODE_ENV', 'HTTP_HOST']);
});

/** Returns the exit code of the image's health check, with a server on this port. */
function healthcheck(port: number): Promise<number | null> {
  const [node = '', ...args] = JSON.parse(lastOf('HEALTHCHECK').replace(/^.*?CMD /, '')) as string[];
  expect(node).toBe('node');
  const child = spawn(process.execPath, args, {
    env: { HTTP_PORT: String(port) },
    stdio: 'ignore',
    timeout: 10_000,
  });
  return new Promise((resolve) => child.once('close', resolve));
}

test.each([
  ['is healthy when /healthz answers 200', 200, 0],
  ['is unhealthy when it answers 503', 503, 1],
])('the image %s', async (_, status, code) => {
  const paths: (string | undefined)[] = [];
  server = createServer((request, response) => {
    paths.push(request.url);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  expect(await healthcheck(port)).toBe(code);
  expect(paths).toEqual(['/healthz']);
});

test('the image is unhealthy when nobody listens', async () => {
  server = createServer();
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server?.close(resolve));
  expect(await healthcheck(port)).toBe(1);
});
