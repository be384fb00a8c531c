/** The files of deploy/grafana as Grafana loads them: what they name exists. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { quality } from '../../deploy/grafana/quality.ts';
import { usage } from '../../deploy/grafana/usage.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { HEALTH, viewOf } from '../server/pages.ts';
import { dashboards, expressions, metricsIn } from './dashboards.ts';

const PROVISIONING = 'deploy/grafana/provisioning';
const provisioned = readFileSync(`${PROVISIONING}/datasources/losant-usage.yaml`, 'utf8');
const { datasources } = parse(provisioned) as {
  readonly datasources: readonly {
    readonly uid: string;
    readonly type: string;
    readonly user?: string;
    readonly secureJsonData?: Readonly<Record<string, string>>;
  }[];
};

test('the files are what `npm run dashboards` makes of their descriptions', () => {
  const files = Object.fromEntries(dashboards.map(({ file, text }) => [file, JSON.parse(text) as unknown]));
  expect(files).toEqual({ 'quality.json': quality, 'usage.json': usage });
});

describe.each(dashboards)('$title', ({ panels, templating, text }) => {
  test('breaks a line where a number is required', () => {
    const charts = panels.filter(({ type }) => type === 'timeseries');
    expect(charts.length).toBeGreaterThan(1);
    for (const { fieldConfig } of charts) expect(fieldConfig.defaults.custom?.spanNulls).toBe(false);
  });

  test('asks only data sources that are provisioned, and uses only variables that it has', () => {
    const sources = templating.list.filter(({ type }) => type === 'datasource');
    for (const { query, current } of sources) {
      expect(datasources).toContainEqual(expect.objectContaining({ type: query, uid: current.value }));
    }
    const named = [...text.matchAll(/\$\{(\w+)(?::\w+)?\}/g)].map(([, name]) => name);
    const known = templating.list.map(({ name }) => name);
    expect([...new Set(named)].filter((name) => !known.includes(name ?? ''))).toEqual([]);
  });
});

test('the worker has every metric that a dashboard or an alert reads', async () => {
  const instanceIds = ['5c0000000000000000000001'];
  const metrics = createMetrics({ version: '1.2.3', instanceIds, startedAtMs: 0 });
  const text = await metrics.render(viewOf(HEALTH), 0);
  const alerts = readFileSync('deploy/monitoring/alerts.yml', 'utf8');
  const read = new Set(
    [...dashboards.flatMap(expressions).map(({ expr }) => expr), alerts].flatMap(metricsIn),
  );
  expect(read.size).toBeGreaterThan(15);
  expect([...read].filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
});

test('no secret stands in the files: the password comes from the environment, for the role that may only read', () => {
  const [postgres, prometheus] = datasources;
  expect(postgres).toMatchObject({
    user: 'losant_usage_reader',
    secureJsonData: { password: '$USAGE_DATABASE_PASSWORD' },
  });
  expect(prometheus?.secureJsonData).toBeUndefined();
  const text = readFileSync('docs/dashboards.md', 'utf8');
  for (const variable of new Set(provisioned.match(/(?<=\$)[A-Z_]+/g))) expect(text).toContain(variable);
});
