/** Checks the files of deploy/monitoring with the tools that read them, and with a real worker. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { dashboards, expressions, fillInExpression, metricsIn } from '../dashboards/dashboards.ts';
import { startPlatform } from '../simulator/platform.ts';
import { createTestDatabase } from '../support/databases.ts';
import { freePort } from '../support/ports.ts';
import { spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, settingsOf, startWorker } from '../worker/process.ts';

const FOLDER = 'deploy/monitoring';

interface Rule {
  readonly alert: string;
  readonly labels: { readonly severity: 'critical' | 'warning' };
}

interface Route {
  readonly receiver: string;
  readonly routes: readonly Route[];
}

interface Alertmanager {
  route: Route;
  inhibit_rules: readonly { readonly target_matchers: readonly string[] }[];
  receivers: { name: string }[];
}

const { groups } = parse(readFileSync(`${FOLDER}/alerts.yml`, 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const config = parse(readFileSync(`${FOLDER}/alertmanager.yml`, 'utf8')) as Alertmanager;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-monitoring-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function runTool(tool: 'promtool' | 'amtool', args: readonly string[], input = '') {
  const options = { cwd: FOLDER, encoding: 'utf8', timeout: 60_000, input } as const;
  const { status, stdout, stderr, error } = spawnSync(tool, args, options);
  if (error) throw error;
  return { status, stdout, output: stdout + stderr };
}

test('each alert fires in its situations and in no other', () => {
  const { status, output } = runTool('promtool', ['test', 'rules', 'alerts.test.yml']);
  expect(output).not.toContain('FAILED');
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
});

test("the documented line turns the alerts into the Prometheus operator's rule", () => {
  const documented = readFileSync(`${FOLDER}/kustomization.yaml`, 'utf8');
  const line = /^# +(\(cat .*\)) \| kubectl apply -f -$/m.exec(documented);
  const text = execFileSync('sh', ['-c', line?.[1] ?? 'false'], { cwd: FOLDER, encoding: 'utf8' });
  expect(parse(text)).toMatchObject({ kind: 'PrometheusRule', spec: { groups } });
});

test('critical alerts go to both receivers, the others to Slack', () => {
  expect(runTool('amtool', ['check-config', 'alertmanager.yml']).output).toContain('SUCCESS');
  for (const [severity, receivers] of [
    ['critical', 'pagerduty,slack'],
    ['warning', 'slack'],
  ]) {
    const labels = ['alertname=LosantUsageGap', 'instance_id=a', `severity=${severity}`];
    const args = ['config', 'routes', 'test', '--config.file=alertmanager.yml', ...labels];
    expect(runTool('amtool', args).stdout.trim()).toBe(receivers);
  }
});

test('no alert inhibits a critical one', () => {
  for (const { target_matchers } of config.inhibit_rules) {
    const pattern = /^alertname=~"(.+)"$/.exec(target_matchers.join())?.[1];
    const inhibited = rules.filter(({ alert }) => new RegExp(`^(?:${pattern})$`).test(alert));
    expect(inhibited.length).toBeGreaterThan(0);
    expect(inhibited.filter(({ labels }) => labels.severity === 'critical')).toEqual([]);
  }
});

/** Returns the shipped routes with waits of a second, and with a local server instead of each receiver. */
function withReceiver(port: number): string {
  const shorten = (route: Route): Route => ({
    ...route,
    ...('group_wait' in route ? { group_wait: '1s' } : {}),
    routes: (route.routes ?? []).map(shorten),
  });
  const receivers = config.receivers.map(({ name }) => ({
    name,
    webhook_configs: [{ url: `http://127.0.0.1:${port}/${name}` }],
  }));
  return stringify({ ...config, route: shorten(config.route), receivers });
}

interface Message {
  readonly receiver: string;
  readonly alerts: readonly { readonly labels: { readonly alertname: string } }[];
}

// Guarantee (Operation): With the shipped rules and routes, a dead worker pages somebody exactly once.
test('a dead worker pages once, and causes no other message', async () => {
  const messages: Message[] = [];
  const receiver = createServer((request, response) => {
    const record = (body: unknown) => {
      messages.push(body as Message);
      response.end();
    };
    json(request).then(record, () => response.destroy());
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const file = join(folder, 'alertmanager.yml');
  writeFileSync(file, withReceiver((receiver.address() as AddressInfo).port));
  const address = `127.0.0.1:${await freePort()}`;
  const storage = `--storage.path=${folder}/alertmanager`;
  const listen = [`--web.listen-address=${address}`, '--cluster.listen-address='];
  const alertmanager = startTool('prometheus-alertmanager', [`--config.file=${file}`, storage, ...listen]);
  try {
    const url = `http://${address}`;
    await until('Alertmanager is ready', async () => (await fetchText(`${url}/-/ready`)) !== null);
    const missing = ['a', 'b'].flatMap((instance_id) =>
      ['device_counts', 'payload_totals'].map((stream) => ({
        labels: { alertname: 'LosantUsageDayOverdue', severity: 'critical', instance_id, stream },
      })),
    );
    const down = { labels: { alertname: 'LosantUsageDown', severity: 'warning' } };
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify([down, ...missing]);
    await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers, body });
    const messagesTo = (name: string) => messages.filter((each) => each.receiver === name);
    await until(
      'both receivers have messages',
      () => messagesTo('slack').length >= 2 && messagesTo('pagerduty').length > 0,
    );
    expect(messagesTo('pagerduty').map((each) => each.alerts.length)).toEqual([4]);
    const names = messages.flatMap((each) => each.alerts).map((each) => each.labels.alertname);
    expect(new Set(names)).toEqual(new Set(['LosantUsageDayOverdue']));
  } finally {
    alertmanager.kill();
    receiver.close();
  }
});

const startTool = (name: string, args: readonly string[]): ChildProcess =>
  spawn(name, args, { stdio: 'ignore' });

/** Returns the text of a successful response; null for any other, and while nothing listens. */
async function fetchText(url: string): Promise<string | null> {
  const response = await fetch(url).catch(() => null);
  return response?.ok ? await response.text() : null;
}

describe('Prometheus with a real worker', () => {
  const HTTP_TOKEN = 'a-token-for-this-test-alone';
  const stack = new AsyncDisposableStack();
  let worker: StartedWorker;
  let address: string;
  let instanceId: string;

  beforeAll(async () => {
    const platform = stack.use(await startPlatform({ orgs: 3, now: Date.now }));
    const database = await createTestDatabase();
    stack.defer(() => database.drop());
    instanceId = platform.instanceId;
    // A separate process, because some metrics are about the process.
    worker = await startWorker({ ...settingsOf(platform, database), HTTP_TOKEN }, spawnProgram);
    stack.defer(async () => void (await worker.stop()));
    address = `127.0.0.1:${await freePort()}`;
    // The documented scrape configuration.
    const text = readFileSync(`${FOLDER}/prometheus.yml`, 'utf8')
      .replace('127.0.0.1:9464', new URL(worker.url).host)
      .replace('/etc/prometheus/losant-usage-http-token', join(folder, 'http-token'))
      .replace('- alerts.yml', `- ${resolve(FOLDER, 'alerts.yml')}`)
      .replace('scrape_interval: 1m', 'scrape_interval: 1s\n    scrape_timeout: 1s');
    writeFileSync(join(folder, 'http-token'), HTTP_TOKEN);
    writeFileSync(join(folder, 'prometheus.yml'), `global: { evaluation_interval: 1s }\n${text}`);
    const files = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
    const prometheus = startTool('prometheus', [...files, `--web.listen-address=${address}`]);
    stack.defer(async () => {
      prometheus.kill();
      await once(prometheus, 'exit');
    });
  });
  afterAll(() => stack.disposeAsync());

  interface Sample {
    readonly metric: Readonly<Record<string, string>>;
    readonly value: readonly [number, string];
  }

  async function api<T>(path: string): Promise<T | null> {
    const text = await fetchText(`http://${address}/api/v1/${path}`);
    return text === null ? null : (JSON.parse(text) as { readonly data: T }).data;
  }

  /** Returns the first sample of an expression, once there is one. */
  async function awaitSample(expression: string): Promise<Sample> {
    let sample: Sample | undefined;
    await until(expression, async () => {
      const path = `query?query=${encodeURIComponent(expression)}`;
      sample = (await api<{ readonly result: readonly Sample[] }>(path))?.result[0];
      return sample !== undefined;
    });
    return sample as Sample;
  }

  test('shows that yesterday was read, and no gap', async () => {
    const read = await awaitSample(
      'losant_usage_newest_read_day_end_timestamp_seconds{stream="payload_totals"}',
    );
    expect(read.metric).toMatchObject({ job: 'losant-usage', instance_id: instanceId });
    expect(Date.now() - Number(read.value[1]) * 1_000).toBeLessThan(48 * 3_600_000);
    const names = ['oldest_gap_age_seconds', 'gaps_expiring', 'token_rejected', 'database_up'];
    const samples = await Promise.all(names.map((name) => awaitSample(`losant_usage_${name}`)));
    expect(samples.map(({ value }) => value[1])).toEqual(['0', '0', '0', '1']);
  });

  // Guarantee (Operation): Every metric used by an alert or dashboard exists.
  test('evaluates the alerts, at most eleven, without an error, and none fires', async () => {
    let evaluated: { health: string; state: string }[] = [];
    await until('every rule was evaluated', async () => {
      const all = await api<{ groups: { rules: typeof evaluated }[] }>('rules');
      evaluated = all?.groups.flatMap((group) => group.rules) ?? [];
      return evaluated.length > 0 && evaluated.every(({ health }) => health === 'ok');
    });
    expect(evaluated).toHaveLength(rules.length);
    expect(rules.length).toBeLessThanOrEqual(11);
    expect(evaluated.filter(({ state }) => state === 'firing')).toEqual([]);
  });

  /** Without faults these have no samples. */
  const EMPTY_METRICS = ['losant_usage_request_retries_total', 'losant_usage_rate_limit_wait_seconds_total'];

  test('has samples for every expression of the dashboards, with metrics and labels of the worker', async () => {
    const { text } = await worker.get('/metrics');
    for (const { name, expr, labels } of dashboards.flatMap(expressions)) {
      const metrics = metricsIn(expr);
      expect([name, metrics.filter((metric) => !text.includes(`# TYPE ${metric} `))]).toEqual([name, []]);
      if (metrics.some((metric) => EMPTY_METRICS.includes(metric))) continue;
      const { metric } = await awaitSample(fillInExpression(expr));
      expect([name, labels.filter((label) => metric[label] === undefined)]).toEqual([name, []]);
    }
  });

  test('finds no problem in the names and types of the metrics', async () => {
    const { text } = await worker.get('/metrics');
    expect(runTool('promtool', ['check', 'metrics'], text)).toMatchObject({ status: 0, output: '' });
  });
});
