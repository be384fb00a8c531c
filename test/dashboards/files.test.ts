/** The files of deploy/grafana refer only to what exists. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { quality } from '../../deploy/grafana/quality.ts';
import { usage } from '../../deploy/grafana/usage.ts';
import { dashboards } from './dashboards.ts';

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

test('the files are up to date: `npm run dashboards` writes the same', () => {
  const files = Object.fromEntries(dashboards.map(({ file, text }) => [file, JSON.parse(text) as unknown]));
  expect(files).toEqual({ 'quality.json': quality, 'usage.json': usage });
});

describe.each(dashboards)('$title', ({ panels, templating, text }) => {
  test('no line connects the days on both sides of one that is not stored', () => {
    const charts = panels.filter(({ type }) => type === 'timeseries');
    expect(charts.length).toBeGreaterThan(1);
    for (const { fieldConfig } of charts) expect(fieldConfig.defaults.custom?.spanNulls).toBe(false);
  });

  test('uses only provisioned data sources and its own variables', () => {
    const sources = templating.list.filter(({ type }) => type === 'datasource');
    for (const { query, current } of sources) {
      expect(datasources).toContainEqual(expect.objectContaining({ type: query, uid: current.value }));
    }
    const references = [...text.matchAll(/\$\{(\w+)(?::\w+)?\}/g)].map(([, name]) => name);
    const variables = templating.list.map(({ name }) => name);
    expect([...new Set(references)].filter((name) => !variables.includes(name ?? ''))).toEqual([]);
  });
});

test('the data source uses the reader role, with a password from the environment', () => {
  const [postgres, prometheus] = datasources;
  const secureJsonData = { password: '$USAGE_DATABASE_PASSWORD' };
  expect(postgres).toMatchObject({ user: 'losant_usage_reader', secureJsonData });
  expect(prometheus?.secureJsonData).toBeUndefined();
  const text = readFileSync('docs/dashboards.md', 'utf8');
  for (const variable of new Set(provisioned.match(/(?<=\$)[A-Z_]+/g))) expect(text).toContain(variable);
});
