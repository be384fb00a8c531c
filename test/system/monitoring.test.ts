/** The files of deploy/monitoring, judged by the tools that read them. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { dashboards, expressions, fillInExpression } from '../dashboards/dashboards.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const FOLDER = 'deploy/monitoring';

interface Rule {
  readonly alert: string;
  readonly labels: { readonly severity: 'critical' | 'warning' };
}

interface Route {
  readonly receiver: string;
  readonly routes: readonly Route[];
}

interface Matchers {
  readonly source_matchers: readonly string[];
  readonly target_matchers: readonly string[];
}

interface Alertmanager {
  route: Route;
  inhibit_rules: readonly Matchers[];
  receivers: { name: string }[];
}

const { groups } = parse(readFileSync(`${FOLDER}/alerts.yml`, 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-monitoring-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function ask(tool: 'promtool' | 'amtool', ...args: readonly string[]) {
  const options = { cwd: FOLDER, encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr, error } = spawnSync(tool, args, options);
  if (error) throw error;
  return { status, stdout, output: stdout + stderr };
}

test('the alerts are valid rules, at most eleven', () => {
  const { status, output } = ask('promtool', 'check', 'rules', 'alerts.yml');
  expect(output).toContain(`SUCCESS: ${rules.length} rules found`);
  expect(rules.length).toBeLessThanOrEqual(11);
  expect(status).toBe(0);
});

test('the alerts fire in the situations they are for, and in no other', () => {
  const { status, output } = ask('promtool', 'test', 'rules', 'alerts.test.yml');
  expect(output).not.toContain('FAILED');
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
});

test('the scrape configuration to copy is valid', () => {
  expect(ask('promtool', 'check', 'config', '--syntax-only', 'prometheus.yml').status).toBe(0);
});

test('the documented line makes of the alerts the rule of the Prometheus operator', () => {
  const line = /^# +(\(cat .*\)) \| kubectl apply -f -$/m.exec(
    readFileSync(`${FOLDER}/kustomization.yaml`, 'utf8'),
  );
  const text = execFileSync('sh', ['-c', line?.[1] ?? 'false'], { cwd: FOLDER, encoding: 'utf8' });
  expect(parse(text)).toMatchObject({ kind: 'PrometheusRule', spec: { groups } });
});

test('every expression of the dashboards is one that Prometheus can read', () => {
  const recorded = dashboards
    .flatMap(expressions)
    .map(({ expr }, index) => ({ record: `panel:${index}`, expr: fillInExpression(expr) }));
  const file = join(folder, 'dashboards.yml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboards', rules: recorded }] }));
  expect(recorded.length).toBeGreaterThan(5);
  expect(ask('promtool', 'check', 'rules', file)).toMatchObject({
    status: 0,
    output: expect.stringContaining(`SUCCESS: ${recorded.length} rules found`) as string,
  });
});

test('what is critical goes to both receivers, the rest to Slack', () => {
  expect(ask('amtool', 'check-config', 'alertmanager.yml').output).toContain('SUCCESS');
  const routed = rules.map(({ alert, labels: { severity } }) => {
    const labels = [`alertname=${alert}`, `severity=${severity}`, 'instance_id=a'];
    const { stdout } = ask('amtool', 'config', 'routes', 'test', '--config.file=alertmanager.yml', ...labels);
    return [alert, severity, stdout.trim()];
  });
  expect(routed).toEqual(
    rules.map(({ alert, labels: { severity } }) => [
      alert,
      severity,
      severity === 'critical' ? 'pagerduty,slack' : 'slack',
    ]),
  );
});

const config = parse(readFileSync(`${FOLDER}/alertmanager.yml`, 'utf8')) as Alertmanager;

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

// Promise (Operation): A dead worker wakes somebody, once, with the shipped rules and routes.
test('a worker that is gone wakes somebody, once, and says nothing else beside it', async () => {
  interface Message {
    readonly receiver: string;
    readonly alerts: readonly { readonly labels: { readonly alertname: string } }[];
  }
  const messages: Message[] = [];
  const receiver = createServer((request, response) => {
    json(request).then(
      (body) => {
        messages.push(body as Message);
        response.end();
      },
      () => response.destroy(),
    );
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const file = join(folder, 'alertmanager.yml');
  writeFileSync(file, withReceiver((receiver.address() as AddressInfo).port));
  const address = `127.0.0.1:${await freePort()}`;
  const flags = [
    `--config.file=${file}`,
    `--storage.path=${folder}/alertmanager`,
    `--web.listen-address=${address}`,
  ];
  const alertmanager: ChildProcess = spawn(
    'prometheus-alertmanager',
    [...flags, '--cluster.listen-address='],
    {
      stdio: 'ignore',
    },
  );
  try {
    const url = `http://${address}`;
    await until('it is ready', async () => {
      return await fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
    const labels = ['a', 'b'].flatMap((instance_id) =>
      ['device_counts', 'payload_totals'].map((stream) => ({
        alertname: 'LosantUsageYesterdayMissing',
        severity: 'critical',
        instance_id,
        stream,
      })),
    );
    const alerts = [{ alertname: 'LosantUsageDown', severity: 'warning' }, ...labels].map((each) => ({
      labels: each,
    }));
    await fetch(`${url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(alerts),
    });
    const told = (name: string) => messages.filter((each) => each.receiver === name);
    await until('both receivers were told', () => told('slack').length >= 2 && told('pagerduty').length > 0);
    expect(told('pagerduty').map((each) => each.alerts.length)).toEqual([4]);
    const names = messages.flatMap((each) => each.alerts).map((each) => each.labels.alertname);
    expect(new Set(names)).toEqual(new Set(['LosantUsageYesterdayMissing']));
  } finally {
    alertmanager.kill();
    receiver.close();
  }
});
