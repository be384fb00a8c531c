/** The files of deploy/monitoring, judged by the tools that read them, and with a real worker. */
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

function ask(tool: 'promtool' | 'amtool', args: readonly string[], input = '') {
  const options = { cwd: FOLDER, encoding: 'utf8', timeout: 60_000, input } as const;
  const { status, stdout, stderr, error } = spawnSync(tool, args, options);
  if (error) throw error;
  return { status, stdout, output: stdout + stderr };
}

test('the alerts fire in the situations they are for, and in no other', () => {
  const { status, output } = ask('promtool', ['test', 'rules', 'alerts.test.yml']);
  expect(output).not.toContain('FAILED');
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
});

test('the documented line makes of the alerts the rule of the Prometheus operator', () => {
  const documented = readFileSync(`${FOLDER}/kustomization.yaml`, 'utf8');
  const line = /^# +(\(cat .*\)) \| kubectl apply -f -$/m.exec(documented);
  const text = execFileSync('sh', ['-c', line?.[1] ?? 'false'], { cwd: FOLDER, encoding: 'utf8' });
  expect(parse(text)).toMatchObject({ kind: 'PrometheusRule', spec: { groups } });
});

test('what is critical goes to both receivers, the rest to Slack', () => {
  expect(ask('amtool', ['check-config', 'alertmanager.yml']).output).toContain('SUCCESS');
  for (const [severity, receivers] of [
    ['critical', 'pagerduty,slack'],
    ['warning', 'slack'],
  ]) {
    const labels = ['alertname=LosantUsageGap', 'instance_id=a', `severity=${severity}`];
    const args = ['config', 'routes', 'test', '--config.file=alertmanager.yml', ...labels];
    expect(ask('amtool', args).stdout.trim()).toBe(receivers);
  }
});

test('no alert hides one that wakes somebody', () => {
  for (const { target_matchers } of config.inhibit_rules) {
    const pattern = /^alertname=~"(.+)"$/.exec(target_matchers.join())?.[1];
    const hidden = rules.filter(({ alert }) => new RegExp(`^(?:${pattern})$`).test(alert));
    expect(hidden.length).toBeGreaterThan(0);
    expect(hidden.filter(({ labels }) => labels.severity === 'critical')).toEqual([]);
  }
});

/** Returns the shipped routes with waits of a second, and a server here in the place of each receiver. */
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
test('a worker that is gone wakes somebody, once, and says nothing else beside it', async () => {
  const messages: Message[] = [];
  const receiver = createServer((request, response) => {
    const take = (body: unknown) => {
      messages.push(body as Message);
      response.end();
    };
    json(request).then(take, () => response.destroy());
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
    await until('it is ready', async () => (await answerOf(`${url}/-/ready`)) !== null);
    const missing = ['a', 'b'].flatMap((instance_id) =>
      ['device_counts', 'payload_totals'].map((stream) => ({
        labels: { alertname: 'LosantUsageDayOverdue', severity: 'critical', instance_id, stream },
      })),
    );
    const down = { labels: { alertname: 'LosantUsageDown', severity: 'warning' } };
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify([down, ...missing]);
    await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers, body });
    const told = (name: string) => messages.filter((each) => each.receiver === name);
    await until('both receivers were told', () => told('slack').length >= 2 && told('pagerduty').length > 0);
    expect(told('pagerduty').map((each) => each.alerts.length)).toEqual([4]);
    const names = messages.flatMap((each) => each.alerts).map((each) => each.labels.alertname);
    expect(new Set(names)).toEqual(new Set(['LosantUsageDayOverdue']));
  } finally {
    alertmanager.kill();
    receiver.close();
  }
});

const startTool = (name: string, args: readonly string[]): ChildProcess =>
  spawn(name, args, { stdio: 'ignore' });

/** Returns the text of a good answer; null for any other, and while nobody answers. */
async function answerOf(url: string): Promise<string | null> {
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
    // A process of its own, for which the metrics of the process are.
    worker = await startWorker({ ...settingsOf(platform, database), HTTP_TOKEN }, spawnProgram);
    stack.defer(async () => void (await worker.stop()));
    address = `127.0.0.1:${await freePort()}`;
    // The scrape configuration that people are told to copy.
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
    const text = await answerOf(`http://${address}/api/v1/${path}`);
    return text === null ? null : (JSON.parse(text) as { readonly data: T }).data;
  }

  /** Returns the first sample of an expression, once there is one. */
  async function sampleOf(expression: string): Promise<Sample> {
    let found: Sample | undefined;
    await until(expression, async () => {
      const path = `query?query=${encodeURIComponent(expression)}`;
      found = (await api<{ readonly result: readonly Sample[] }>(path))?.result[0];
      return found !== undefined;
    });
    return found as Sample;
  }

  test('sees that yesterday was read, and no gap', async () => {
    const read = await sampleOf(
      'losant_usage_newest_read_day_end_timestamp_seconds{stream="payload_totals"}',
    );
    expect(read.metric).toMatchObject({ job: 'losant-usage', instance_id: instanceId });
    expect(Date.now() - Number(read.value[1]) * 1_000).toBeLessThan(48 * 3_600_000);
    const shown = ['oldest_gap_age_seconds', 'gaps_expiring', 'token_rejected', 'database_up'];
    const samples = await Promise.all(shown.map((name) => sampleOf(`losant_usage_${name}`)));
    expect(samples.map(({ value }) => value[1])).toEqual(['0', '0', '0', '1']);
  });

  // Guarantee (Operation): Every metric used by an alert or dashboard exists.
  test('takes the alerts, at most eleven, evaluates each without an error, and none fires', async () => {
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

  /** Nothing of them has happened in a world without faults. */
  const SILENT = ['losant_usage_request_retries_total', 'losant_usage_rate_limit_wait_seconds_total'];

  test('answers every expression of the dashboards, each of metrics and labels that the worker has', async () => {
    const { text } = await worker.get('/metrics');
    for (const { name, expr, labels } of dashboards.flatMap(expressions)) {
      const metrics = metricsIn(expr);
      expect([name, metrics.filter((metric) => !text.includes(`# TYPE ${metric} `))]).toEqual([name, []]);
      if (metrics.some((metric) => SILENT.includes(metric))) continue;
      const { metric } = await sampleOf(fillInExpression(expr));
      expect([name, labels.filter((label) => metric[label] === undefined)]).toEqual([name, []]);
    }
  });

  test('finds nothing wrong with the names and types of the metrics', async () => {
    const { text } = await worker.get('/metrics');
    expect(ask('promtool', ['check', 'metrics'], text)).toMatchObject({ status: 0, output: '' });
  });
});
