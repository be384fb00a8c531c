import type { ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { type ReceivedRequest, startServer } from '../losant/server.ts';
import { usePlatform } from '../simulator/platform.ts';
import { asOwner, createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { runProgram, spawnProgram } from '../support/program.ts';
import { toPassword } from '../support/roles.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, settingsOf, startTestWorker, startWorker } from './process.ts';

/** One for each secret, so that whatever shows up tells which one leaked. */
const CANARY = {
  token: 'canary-losant-token-5eb1f0',
  password: toPassword('writer'),
  httpToken: 'canary-http-token-90cc41',
  heartbeat: 'canary-heartbeat-3d0b8e',
  webhook: 'canary-webhook-41fe07',
};
const platform = usePlatform({ orgs: 2, now: Date.now, token: CANARY.token });

async function settings(apiUrl: string): Promise<{ database: TestDatabase; env: Record<string, string> }> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const env = {
    ...settingsOf(platform, database),
    LOSANT_API_URL: apiUrl,
    HTTP_TOKEN: CANARY.httpToken,
    // Nobody listens there, so that the failure is reported.
    HEARTBEAT_URL: `http://127.0.0.1:1/ping/${CANARY.heartbeat}`,
    NOTIFY_URL: `http://127.0.0.1:1/hooks/${CANARY.webhook}`,
    // The time has come whenever the test runs.
    NOTIFY_AT: '00:00',
    LOG_LEVEL: 'trace',
    REQUEST_ATTEMPTS: '1',
  };
  return { database, env };
}

/** All that is served, with the token and without. */
async function pagesOf(worker: StartedWorker): Promise<string> {
  const texts: string[] = [];
  for (const path of ['/', '/metrics', '/status.json', '/healthz', '/readyz', '/nowhere']) {
    texts.push((await worker.get(path)).text, (await worker.get(path, {})).text);
  }
  expect(texts[0]).toContain('Losant usage');
  return texts.join('\n');
}

/** Every row of every table as text, compressed bodies unpacked. */
async function dump({ url }: TestDatabase): Promise<string> {
  const tables = await queryOnce(
    url,
    `select oid::regclass::text as name from pg_class
    where relnamespace = 'losant_usage'::regnamespace and relkind = 'r'`,
  );
  expect(tables.length).toBeGreaterThan(10);
  const texts: string[] = [];
  for (const { name } of tables) texts.push(JSON.stringify(await asOwner(url, `select * from ${String(name)}`)));
  for (const { body_gzip } of await asOwner(url, 'select body_gzip from losant_usage.quarantine')) {
    texts.push(gunzipSync(body_gzip as Buffer).toString('utf8'));
  }
  return texts.join('\n');
}

function expectNoCanary(text: string): void {
  const toBase64 = (secret: string) => Buffer.from(secret).toString('base64').slice(0, -4);
  const forms = Object.values(CANARY).flatMap((secret) => [secret, toBase64(secret)]);
  const leaks = forms.filter((form) => text.includes(form)).map((form) => text.indexOf(form));
  expect(leaks.map((at) => text.slice(Math.max(0, at - 200), at + 40))).toEqual([]);
}

/** Responses of a proxy that shows the headers of the request, by action. */
const ECHOES: Readonly<Record<string, readonly [number, string]>> = {
  deviceCounts: [200, 'application/json'],
  notebookMinuteCounts: [500, 'text/html'],
  payloadCountsBreakdown: [400, 'application/json'],
  payloadCounts: [200, 'text/html'],
};

function echo({ path, headers }: ReceivedRequest, response: ServerResponse): void {
  const [status, type] = ECHOES[path.split('/').at(-1) ?? ''] ?? [404, 'text/html'];
  const shown = JSON.stringify(headers);
  const body = { type: 'Echo', message: shown, counts: [{ echo: headers }] };
  response.writeHead(status, { 'content-type': type });
  response.end(type === 'text/html' ? `<pre>${shown}</pre>` : JSON.stringify(body));
}

async function passOn({ path, query, headers }: ReceivedRequest, response: ServerResponse): Promise<void> {
  const { authorization = '' } = headers;
  const target = `${platform.url}${path}?${new URLSearchParams(query).toString()}`;
  const forwarded = await fetch(target, { headers: { authorization } });
  response.writeHead(forwarded.status, { 'content-type': 'application/json' });
  response.end(await forwarded.text());
}

test('no secret shows when numbers are loaded, a proxy echoes requests or the token is rejected', async () => {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  const echoed = `/${orgs[0]?.orgId}/`;
  await using proxy = await startServer((request, response) => {
    if (request.path.includes(echoed)) return echo(request, response);
    // The connection is closed if the platform does not respond; the test then fails with its time limit.
    passOn(request, response).catch(() => response.destroy());
  });
  const { env, database } = await settings(proxy.url);
  /** Runs a worker until its log says so. Each look at the metrics would read the database. */
  const work = async (word: string) => {
    const worker = await startTestWorker(env);
    await until(word, () => worker.running.stderr().includes(word));
    const pages = await pagesOf(worker);
    return { pages, ...(await worker.stop()) };
  };
  const went = await work('waiting for the next wake-up');
  expect(went.code).toBe(0);
  expect(went.stderr).toContain('heartbeat not delivered');
  await platform.control('tokens/revoke', { token: CANARY.token });
  const refused = await work('unauthorized');
  expect(refused.pages).toContain('unauthorized');
  await platform.control('tokens', { token: CANARY.token, scopes: ['all.Instance'] });
  const ends = [went, refused, await runProgram(['status'], env), await runProgram(['gaps', '--json'], env)];
  const outputs = ends.flatMap(({ stdout, stderr }) => [stdout, stderr]);
  const rows = await dump(database);
  expect(rows).toContain('Echo');
  expectNoCanary([went.pages, refused.pages, ...outputs, rows].join('\n'));
});

test('a bug ends the worker with 1, one line and no secret', async () => {
  const { env } = await settings(platform.url);
  const code = `setTimeout(() => {
    const { LOSANT_API_TOKEN, DATABASE_URL, HTTP_TOKEN, HEARTBEAT_URL } = process.env;
    const bug = Object.assign(new Error('planted'), { request: { authorization: LOSANT_API_TOKEN }, HTTP_TOKEN });
    bug.cause = Object.assign(new TypeError('Invalid URL'), { input: DATABASE_URL, HEARTBEAT_URL });
    Promise.reject(bug);
    process.nextTick(() => { throw { ...bug }; });
  }, 500)`;
  const preload = `data:text/javascript,${encodeURIComponent(code)}`;
  const worker = await startWorker({ ...env, NODE_OPTIONS: `--import=${preload}` }, spawnProgram);
  onTestFinished(() => worker.running.kill('SIGKILL'));
  const ended = await worker.running.ended;
  expect(ended.code).toBe(1);
  const last = ended.stderr.trimEnd().split('\n').at(-1) ?? '';
  expect(JSON.parse(last)).toMatchObject({ level: 'fatal', msg: 'stopped by a bug; please report this line' });
  expectNoCanary(ended.stdout + ended.stderr);
});
