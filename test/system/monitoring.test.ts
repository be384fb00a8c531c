/** Checks the files of deploy/monitoring with the tools that read them, and with a real worker. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { dashboards, expressions, fillInExpression, metricsIn } from '../dashboards/dashboards.ts';
import { startPlatform } from '../simulator/platform.ts';
import { createTestDatabase } from '../support/databases.ts';
import { useTestFolder } from '../support/folders.ts';
import { freePort, listenOnLoopback } from '../support/ports.ts';
import { spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, settingsOf, startWorker } from '../worker/process.ts';

const FOLDER = 'deploy/monitoring';

interface Rule {
  readonly alert: string;
  readonly labels: { readonly severity: 'critical' | 'warning' };
}

const { groups } = parse(readFileSync(`${FOLDER}/alerts.yml`, 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const alertmanagerConfig = readFileSync(`${FOLDER}/alertmanager.yml`, 'utf8');

const folder = useTestFolder();

function runTool(tool: 'promtool' | 'amtool', args: readonly string[], input = '') {
  const options = { cwd: FOLDER, encoding: 'utf8', timeout: 240_000, input } as const;
  const { status, stdout, stderr, error } = spawnSync(tool, args, options);
  if (error) throw error;
  return { status, stdout, output: stdout + stderr };
}

test('each alert fires in its situations and in no other', () => {
  const { status, output } = runTool('promtool', ['test', 'rules', 'alerts.test.yml']);
  expect(output).not.toContain('FAILED');
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
  const cases = readFileSync(`${FOLDER}/alerts.test.yml`, 'utf8');
  expect(rules.map(({ alert }) => alert).filter((name) => !cases.includes(`alertname: ${name}`))).toEqual([]);
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
    const labels = ['alertname=LosantUsageGap', 'job=a', `severity=${severity}`];
    const args = ['config', 'routes', 'test', '--config.file=alertmanager.yml', ...labels];
    expect(runTool('amtool', args).stdout.trim()).toBe(receivers);
  }
});

test('no alert inhibits a critical one', () => {
  const patterns = [...alertmanagerConfig.matchAll(/target_matchers: \[alertname=~"(.+)"\]/g)];
  expect(patterns).toHaveLength(2);
  for (const [, pattern] of patterns) {
    const inhibited = rules.filter(({ alert }) => new RegExp(`^(?:${pattern})$`).test(alert));
    expect(inhibited.length).toBeGreaterThan(0);
    expect(inhibited.filter(({ labels }) => labels.severity === 'critical')).toEqual([]);
  }
});

/** Returns the shipped configuration with waits of a second, and receivers at the address of a local server. */
function withReceiver(url: string): string {
  writeFileSync(join(folder, 'slack-url'), `${url}/slack`);
  writeFileSync(join(folder, 'pagerduty-key'), ROUTING_KEY);
  return alertmanagerConfig
    .replaceAll('/etc/alertmanager/', `${folder}/`)
    .replace('- routing_key_file:', `- url: ${url}/pagerduty\n        routing_key_file:`)
    .replaceAll(/group_wait: \w+/g, 'group_wait: 1s');
}

const ROUTING_KEY = 'c0ffee0123456789c0ffee0123456789';

/** An event of PagerDuty's Events API v2, which requires these three fields of a payload. */
interface Page {
  readonly routing_key: string;
  readonly event_action: string;
  readonly payload: { readonly summary: string; readonly source: string; readonly severity: string };
}

interface SlackMessage {
  readonly attachments: readonly { readonly title: string; readonly text: string }[];
}

/** Starts a server that responds as PagerDuty and Slack do. */
async function startReceiver() {
  const pages: Page[] = [];
  const messages: SlackMessage[] = [];
  const server = createServer((request, response) => {
    const record = (body: unknown) => {
      if (request.url === '/slack') {
        messages.push(body as SlackMessage);
        return void response.end('ok');
      }
      const page = body as Page;
      pages.push(page);
      const isValid = [page.payload.summary, page.payload.source, page.payload.severity].every(Boolean);
      response.writeHead(isValid ? 202 : 400).end('{}');
    };
    json(request).then(record, () => response.destroy());
  });
  return { pages, messages, server, url: `http://127.0.0.1:${await listenOnLoopback(server)}` };
}

interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

async function startAlertmanager(receiverUrl: string) {
  const file = join(folder, 'alertmanager.yml');
  writeFileSync(file, withReceiver(receiverUrl));
  const address = `127.0.0.1:${await freePort()}`;
  const storage = `--storage.path=${mkdtempSync(join(folder, 'alertmanager-'))}`;
  const listen = [`--web.listen-address=${address}`, '--cluster.listen-address='];
  const alertmanager = startTool('prometheus-alertmanager', [`--config.file=${file}`, storage, ...listen]);
  const url = `http://${address}`;
  await until('Alertmanager is ready', async () => (await fetchText(`${url}/-/ready`)) !== null);
  const postAlerts = async (alerts: readonly Alert[]) => {
    const headers = { 'content-type': 'application/json' };
    await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers, body: JSON.stringify(alerts) });
  };
  return { alertmanager, postAlerts };
}

test('a dead worker pages once, with a summary; its overdue days hide their causes, and nothing else', async () => {
  const { pages, messages, server, url: receiverUrl } = await startReceiver();
  const { alertmanager, postAlerts } = await startAlertmanager(receiverUrl);
  try {
    const overdue = ['device_counts', 'payload_totals'].map((stream) => ({
      labels: { alertname: 'LosantUsageDayOverdue', severity: 'critical', job: 'a', stream },
      annotations: { summary: `a: a usage day of ${stream} is overdue` },
    }));
    const failed = ['a', 'b'].map((job) => ({
      labels: { alertname: 'LosantUsageRunFailed', severity: 'warning', job },
      annotations: { summary: `${job}: runs fail` },
    }));
    const down = { labels: { alertname: 'LosantUsageDown', severity: 'warning' } };
    await postAlerts([down, ...overdue, ...failed]);
    await until('both receivers have messages', () => messages.length >= 3 && pages.length > 0);
    const summary = 'a: a usage day of device_counts is overdue (1 of 2 alerts)';
    const payload = expect.objectContaining({ summary, severity: 'critical' }) as Page['payload'];
    expect(pages).toEqual([{ ...pages[0], routing_key: ROUTING_KEY, event_action: 'trigger', payload }]);
    const attachments = messages.flatMap((each) => each.attachments);
    const titles = ['DayOverdue', 'Down', 'RunFailed'].map((name) => `FIRING: LosantUsage${name}`);
    expect(new Set(attachments.map(({ title }) => title))).toEqual(new Set(titles));
    const texts = attachments.map(({ text }) => text).join('\n');
    expect(texts).toContain('a: a usage day of payload_totals is overdue');
    expect(texts).toContain('b: runs fail');
    expect(texts).not.toContain('a: runs fail');
  } finally {
    alertmanager.kill();
    server.close();
  }
});

const startTool = (name: string, args: readonly string[]): ChildProcess => spawn(name, args, { stdio: 'ignore' });

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

  beforeAll(async () => {
    const platform = stack.use(await startPlatform({ orgs: 3, now: Date.now }));
    const database = await createTestDatabase();
    stack.defer(() => database.drop());
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
    const read = await awaitSample('losant_usage_newest_read_day_end_timestamp_seconds{stream="payload_totals"}');
    expect(read.metric).toMatchObject({ job: 'losant-usage' });
    expect(Date.now() - Number(read.value[1]) * 1_000).toBeLessThan(48 * 3_600_000);
    const names = ['oldest_gap_age_seconds', 'gaps_expiring', 'last_run_failed', 'database_up'];
    const samples = await Promise.all(names.map((name) => awaitSample(`losant_usage_${name}`)));
    expect(samples.map(({ value }) => value[1])).toEqual(['0', '0', '0', '1']);
  });

  test('evaluates the alerts, at most eight, without an error, and none fires', async () => {
    let evaluated: { health: string; state: string }[] = [];
    await until('every rule was evaluated', async () => {
      const all = await api<{ groups: { rules: typeof evaluated }[] }>('rules');
      evaluated = all?.groups.flatMap((group) => group.rules) ?? [];
      return evaluated.length > 0 && evaluated.every(({ health }) => health === 'ok');
    });
    expect(evaluated).toHaveLength(rules.length);
    expect(rules.length).toBeLessThanOrEqual(8);
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
