import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { type Received, startServer } from '../losant/server.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createSchema, createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { runProgram, spawnProgram, startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, startWorker } from './process.ts';

/** One for each secret, so that whatever shows up tells which one leaked. */
const CANARY = {
  token: 'canary-losant-token-5eb1f0',
  password: 'canary-database-password-77a2',
  httpToken: 'canary-http-token-90cc41',
  heartbeat: 'canary-heartbeat-3d0b8e',
};
const ROLE = `losant_usage_canary_${randomBytes(4).toString('hex')}`;

const platform = usePlatform({ orgs: 2, now: Date.now, token: CANARY.token });

beforeAll(async () => {
  await queryOnce(inject('postgresAdminUrl'), `create role ${ROLE} login password '${CANARY.password}'`);
  template = await createTestDatabase({ template: false });
  await queryOnce(template.url, `alter database ${template.name} owner to ${ROLE}`);
  await createSchema(asRole(template));
});
afterAll(async () => {
  await template.drop();
  await queryOnce(inject('postgresAdminUrl'), `drop role ${ROLE}`);
});

/** The database at head, of which the role with the canary for a password owns everything. */
let template: TestDatabase;

function asRole({ url }: TestDatabase): string {
  const own = new URL(url);
  own.username = ROLE;
  own.password = CANARY.password;
  return own.href;
}

async function settings(apiUrl: string): Promise<{ database: TestDatabase; env: Record<string, string> }> {
  const database = await createTestDatabase({ template: template.name });
  onTestFinished(() => database.drop());
  const env = {
    LOSANT_API_URL: apiUrl,
    LOSANT_INSTANCE_ID: platform.instanceId,
    LOSANT_API_TOKEN: CANARY.token,
    DATABASE_URL: asRole(database),
    HTTP_TOKEN: CANARY.httpToken,
    // Nobody listens there, so that the failure is told.
    HEARTBEAT_URL: `http://127.0.0.1:1/ping/${CANARY.heartbeat}`,
    LOG_LEVEL: 'trace',
    REQUEST_ATTEMPTS: '1',
    REQUESTS_PER_SECOND: '500',
  };
  return { database, env };
}

async function start(env: Record<string, string>): Promise<StartedWorker> {
  const worker = await startWorker(env, startProgram);
  onTestFinished(async () => {
    await worker.stop();
  });
  return worker;
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
    `select relname as name from pg_class where relnamespace = 'losant_usage'::regnamespace and relkind = 'r'`,
  );
  expect(tables.length).toBeGreaterThan(10);
  const texts: string[] = [];
  for (const { name } of tables) {
    texts.push(JSON.stringify(await queryOnce(url, `select * from losant_usage.${String(name)}`)));
  }
  for (const { body_gzip } of await queryOnce(url, 'select body_gzip from losant_usage.quarantine')) {
    texts.push(gunzipSync(body_gzip as Buffer).toString('utf8'));
  }
  return texts.join('\n');
}

function expectNoCanary(text: string): void {
  const leaks = Object.values(CANARY).flatMap((secret) => {
    const forms = [secret, Buffer.from(secret).toString('base64').slice(0, -4)];
    return forms
      .filter((form) => text.includes(form))
      .map((form) => {
        const at = text.indexOf(form);
        return text.slice(Math.max(0, at - 200), at + 40);
      });
  });
  expect(leaks).toEqual([]);
}

/** Waits for the end of its run by the log, as each look at the metrics reads the database. */
const untilRan = (worker: StartedWorker, result: string) =>
  until(result, () => worker.running.stderr().includes(result));

// Promise (Operation): No secret appears in messages, logs or pages.
test('no secret shows when all goes well, nor when the token is refused after that', async () => {
  const { env, database } = await settings(platform.url);
  const first = await start(env);
  await untilRan(first, '"msg":"run finished"');
  const pages = [await pagesOf(first)];
  const went = await first.stop();
  expect(went.code).toBe(0);
  expect(went.stderr).toContain('heartbeat not delivered');
  await platform.control('tokens/revoke', { token: CANARY.token });
  const refused = await start(env);
  await untilRan(refused, 'unauthorized');
  pages.push(await pagesOf(refused));
  expect(pages[1]).toContain('unauthorized');
  const ends = [went, await refused.stop()];
  await platform.control('tokens', { token: CANARY.token, scopes: ['all.Instance'] });
  ends.push(await runProgram(['status'], env), await runProgram(['gaps', '--json'], env));
  const outputs = ends.flatMap((ended) => [ended.stdout, ended.stderr]);
  expectNoCanary([...pages, ...outputs, await dump(database)].join('\n'));
});

/** Lets the platform answer. */
async function passOn({ path, query, headers }: Received, response: ServerResponse): Promise<void> {
  const { authorization = '' } = headers;
  const target = `${platform.url}${path}?${new URLSearchParams(query).toString()}`;
  const answer = await fetch(target, { headers: { authorization } });
  response.writeHead(answer.status, { 'content-type': 'application/json' });
  response.end(await answer.text());
}

/** Answers of a proxy that shows the request's own headers, by what was asked. */
const ECHOES: Readonly<Record<string, readonly [number, string]>> = {
  deviceCounts: [200, 'application/json'],
  notebookMinuteCounts: [500, 'text/html'],
  payloadCountsBreakdown: [400, 'application/json'],
  payloadCounts: [200, 'text/html'],
};

test('no secret shows when a proxy echoes the request in answers of every kind', async () => {
  await using proxy = await startServer((request, response) => {
    const answer = ECHOES[request.path.split('/').at(-1) ?? ''];
    if (answer === undefined) {
      // Broken off if the platform does not answer: the test then waits in vain and says so.
      passOn(request, response).catch(() => response.destroy());
      return;
    }
    const [status, type] = answer;
    const { headers } = request;
    const echo = JSON.stringify({
      type: 'Echo',
      message: JSON.stringify(headers),
      counts: [{ echo: headers }],
    });
    response.writeHead(status, { 'content-type': type });
    response.end(type === 'text/html' ? `<pre>${JSON.stringify(headers)}</pre>` : echo);
  });
  const { env, database } = await settings(proxy.url);
  const worker = await start(env);
  await untilRan(worker, 'waiting for the next wake-up');
  const pages = await pagesOf(worker);
  const { stdout, stderr } = await worker.stop();
  expectNoCanary([pages, stdout, stderr, await dump(database)].join('\n'));
});

test('a defect ends the worker with 1, one line and no secret', async () => {
  const { env } = await settings(platform.url);
  const code = `setTimeout(() => {
    const { LOSANT_API_TOKEN, DATABASE_URL, HTTP_TOKEN, HEARTBEAT_URL } = process.env;
    const defect = Object.assign(new Error('planted'), { request: { authorization: LOSANT_API_TOKEN }, HTTP_TOKEN });
    defect.cause = Object.assign(new TypeError('Invalid URL'), { input: DATABASE_URL, HEARTBEAT_URL });
    Promise.reject(defect);
    process.nextTick(() => { throw { ...defect }; });
  }, 500)`;
  const preload = `data:text/javascript,${encodeURIComponent(code)}`;
  const worker = await startWorker({ ...env, NODE_OPTIONS: `--import=${preload}` }, spawnProgram);
  onTestFinished(() => worker.running.kill('SIGKILL'));
  const ended = await worker.running.ended;
  expect(ended.code).toBe(1);
  const last = ended.stderr.trimEnd().split('\n').at(-1) ?? '';
  expect(JSON.parse(last)).toMatchObject({
    level: 'fatal',
    msg: 'ended by a defect: please report this line',
  });
  expectNoCanary(ended.stdout + ended.stderr);
});
