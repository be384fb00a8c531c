import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { dashboards, expressions, fillInExpression, metricsIn } from '../dashboards/dashboards.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { freePort } from '../support/ports.ts';

const DEADLINE_MS = 60_000;
const HTTP_TOKEN = 'a-token-for-this-test-alone';

let folder: string;
let database: TestDatabase;
let simulator: Simulator;
let workerPort: number;
let prometheusPort: number;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-prometheus-'));
  [database, simulator, workerPort, prometheusPort] = await Promise.all([
    createTestDatabase(),
    startSimulator({ orgs: 3 }),
    freePort(),
    freePort(),
  ]);
  startWorker();
  startPrometheus();
});

afterAll(async () => {
  for (const child of children) await end(child);
  await simulator.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

function startWorker(): void {
  const env = {
    PATH: process.env['PATH'],
    LOSANT_API_URL: simulator.url,
    LOSANT_INSTANCE_ID: simulator.instanceId,
    LOSANT_API_TOKEN: simulator.token,
    DATABASE_URL: database.url,
    REQUESTS_PER_SECOND: '2000',
    HTTP_PORT: String(workerPort),
    HTTP_TOKEN,
  };
  start('worker', process.execPath, ['bin/losant-usage.js', 'worker'], env);
}

/** The scrape configuration people are told to copy, with this worker's address and token. */
function startPrometheus(): void {
  const text = readFileSync('deploy/monitoring/prometheus.yml', 'utf8')
    .replace('127.0.0.1:9464', `127.0.0.1:${workerPort}`)
    .replace('/etc/prometheus/losant-usage-http-token', join(folder, 'http-token'))
    .replace('- alerts.yml', `- ${resolve('deploy/monitoring/alerts.yml')}`)
    .replace('scrape_interval: 1m', 'scrape_interval: 1s\n    scrape_timeout: 1s');
  writeFileSync(join(folder, 'http-token'), HTTP_TOKEN);
  writeFileSync(join(folder, 'prometheus.yml'), `global: { evaluation_interval: 1s }\n${text}`);
  start('prometheus', 'prometheus', [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${prometheusPort}`,
  ]);
}

function start(name: string, command: string, args: string[], env: NodeJS.ProcessEnv = process.env): void {
  const log = openSync(join(folder, `${name}.log`), 'w');
  children.push(spawn(command, args, { env, stdio: ['ignore', log, log] }));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(force);
}

/** Asks again until `accept` says yes; both logs tell why it never does. */
async function poll<T>(ask: () => Promise<T>, accept: (answer: T) => boolean): Promise<T> {
  const giveUpAt = performance.now() + DEADLINE_MS;
  let last: unknown = 'nothing';
  while (performance.now() < giveUpAt) {
    try {
      const answer = await ask();
      if (accept(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    await sleep(200);
  }
  const logs = ['worker', 'prometheus'].map((name) => readFileSync(join(folder, `${name}.log`), 'utf8'));
  throw new Error(`not in time; the last answer was ${JSON.stringify(last)}\n${logs.join('\n')}`);
}

async function prometheus(path: string): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${prometheusPort}/api/v1/${path}`);
  const { data } = (await response.json()) as { readonly data: unknown };
  return data;
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

async function query(expression: string): Promise<readonly Sample[]> {
  const { result } = (await prometheus(`query?query=${encodeURIComponent(expression)}`)) as {
    readonly result: readonly Sample[];
  };
  return result;
}

async function scrape(): Promise<string> {
  const headers = { authorization: `Bearer ${HTTP_TOKEN}` };
  const response = await fetch(`http://127.0.0.1:${workerPort}/metrics`, { headers });
  return await response.text();
}

test('Prometheus scrapes a real worker and sees that yesterday was read, and no gap', async () => {
  const [read] = await poll(
    () => query('losant_usage_newest_day_read_timestamp_seconds{stream="payload_totals"}'),
    (samples) => samples.length > 0,
  );
  expect(read?.metric).toMatchObject({ job: 'losant-usage', instance_id: simulator.instanceId });
  const midnightMs = Number(read?.value[1]) * 1_000;
  expect(Date.now() - midnightMs).toBeLessThan(48 * 3_600_000);
  const shown = ['oldest_gap_age_seconds', 'gaps_expiring', 'token_refused', 'database_up'];
  const values = await Promise.all(
    shown.map(async (name) => (await query(`losant_usage_${name}`))[0]?.value[1]),
  );
  expect(values).toEqual(['0', '0', '0', '1']);
});

// Promise (Operation): Every metric that an alert or a dashboard reads is one that the worker has.
test('it takes the alerts, evaluates each without an error, and none fires', async () => {
  interface Rule {
    readonly name: string;
    readonly health: string;
    readonly state: string;
  }
  const { groups } = (await poll(
    () => prometheus('rules'),
    (data) =>
      (data as { groups: { rules: Rule[] }[] }).groups.every(({ rules }) =>
        rules.every(({ health }) => health === 'ok'),
      ),
  )) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules).toHaveLength(11);
  expect(rules.filter(({ state }) => state === 'firing')).toEqual([]);
});

/** Nothing of them has happened in a world without faults. */
const SILENT = ['losant_usage_request_retries_total', 'losant_usage_rate_limit_wait_seconds_total'];

test('it answers every expression of the dashboards, each of metrics and labels that the worker has', async () => {
  const text = await scrape();
  for (const { name, expr, labels } of dashboards.flatMap(expressions)) {
    const metrics = metricsIn(expr);
    expect([name, metrics.filter((metric) => !text.includes(`# TYPE ${metric} `))]).toEqual([name, []]);
    if (metrics.some((metric) => SILENT.includes(metric))) continue;
    const [first] = await poll(
      () => query(fillInExpression(expr)),
      (samples) => samples.length > 0,
    );
    expect([name, labels.filter((label) => first?.metric[label] === undefined)]).toEqual([name, []]);
  }
});

test('promtool finds nothing wrong with the names and types of the metrics', async () => {
  const input = await scrape();
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input,
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect({ status, output: stdout + stderr }).toEqual({ status: 0, output: '' });
});
