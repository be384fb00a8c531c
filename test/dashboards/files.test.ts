/** The files of deploy/grafana as Grafana loads them: what they name exists, and nothing lies on top of another. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from '../../src/server/metrics.ts';
import { dashboards, expressions, metricsIn, type Panel } from './dashboards.ts';

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

test('there are four dashboards, each under an address of its own', () => {
  expect(dashboards.map(({ uid, title }) => [uid, title])).toEqual([
    ['losant-usage-organization', 'Losant usage: one organization'],
    ['losant-usage-overview', 'Losant usage: overview'],
    ['losant-usage-quality', 'Losant usage: data quality'],
    ['losant-usage-worker', 'Losant usage: worker health'],
  ]);
});

describe.each(dashboards)('$title', (dashboard) => {
  const { panels, templating, annotations } = dashboard;
  const shown = panels.filter(({ type }) => type !== 'row');

  test('shows days of UTC, loads in Grafana 11 and newer, and links to the others', () => {
    expect(dashboard).toMatchObject({ timezone: 'utc', schemaVersion: 39, tags: ['losant-usage'] });
    const others = expect.objectContaining({ type: 'dashboards', tags: ['losant-usage'] });
    const console = expect.objectContaining({ type: 'link', title: 'Console' });
    // Worker health reads Prometheus, which does not know where the console is.
    const hasConsole = dashboard.templating.list.some(({ name }) => name === 'console');
    expect(dashboard.links).toEqual(hasConsole ? [others, console] : [others]);
    const linked = [...dashboard.text.matchAll(/"url": "\/d\/([\w-]+)/g)].map(([, uid]) => uid);
    expect(linked.filter((uid) => !dashboards.some((each) => each.uid === uid))).toEqual([]);
  });

  test('has panels with ids and titles of their own, each described and in a unit', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    for (const { title, description, fieldConfig } of shown) {
      expect([title, description]).toEqual([title, expect.stringMatching(/^[A-Z].{15,}\.$/)]);
      expect([title, fieldConfig?.defaults.unit]).toEqual([title, expect.stringMatching(/^\w+$/)]);
    }
  });

  test('has a grid of 24 columns on which nothing overlaps', () => {
    const overlap = (a: Panel, b: Panel) =>
      a.gridPos.x < b.gridPos.x + b.gridPos.w &&
      b.gridPos.x < a.gridPos.x + a.gridPos.w &&
      a.gridPos.y < b.gridPos.y + b.gridPos.h &&
      b.gridPos.y < a.gridPos.y + a.gridPos.h;
    const pairs = panels.flatMap((a, index) => panels.slice(index + 1).map((b) => [a, b] as const));
    expect(pairs.filter(([a, b]) => overlap(a, b)).map(([a, b]) => [a.title, b.title])).toEqual([]);
    expect(panels.filter(({ gridPos: { x, w } }) => x < 0 || w < 1 || x + w > 24)).toEqual([]);
  });

  test('calls a number of a table missing, and no text that is empty', () => {
    for (const { title, fieldConfig } of shown.filter(({ type }) => type === 'table')) {
      expect([title, fieldConfig?.defaults.noValue]).toEqual([title, undefined]);
    }
  });

  test('breaks a line where a number is missing', () => {
    const series = shown.filter(({ type }) => type === 'timeseries');
    expect(series.length).toBeGreaterThan(1);
    for (const { title, fieldConfig } of series) {
      expect([title, fieldConfig?.defaults.custom]).toEqual([
        title,
        expect.objectContaining({ spanNulls: false }),
      ]);
    }
  });

  test('asks only data sources that can be chosen in it and that are provisioned', () => {
    const choices = templating.list.filter(({ type }) => type === 'datasource');
    for (const { query, current } of choices) {
      expect(datasources).toContainEqual(expect.objectContaining({ type: query, uid: current.value }));
    }
    const references = [
      ...panels.flatMap(({ datasource, targets }) => [
        datasource,
        ...(targets ?? []).map((target) => target.datasource),
      ]),
      ...templating.list.map(({ datasource }) => datasource),
      ...annotations.list.map(({ datasource }) => datasource),
    ].filter((reference) => reference !== undefined && reference.uid !== '-- Grafana --');
    const known = choices.map(({ name, query }) => JSON.stringify({ type: query, uid: `\${${name}}` }));
    expect(references.filter((reference) => !known.includes(JSON.stringify(reference)))).toEqual([]);
  });

  test('uses only variables that it has', () => {
    const named = [...dashboard.text.matchAll(/\$\{(\w+)(?::\w+)?\}|\$(?!__)([a-z]\w*)/g)].map(
      ([, braced, bare]) => braced ?? bare ?? '',
    );
    const names = templating.list.map(({ name }) => name);
    expect([...new Set(named)].filter((name) => !name.startsWith('__') && !names.includes(name))).toEqual([]);
  });
});

test('the worker has every metric that a dashboard reads', async () => {
  const metrics = createMetrics({
    version: '1.2.3',
    instanceIds: ['5c0000000000000000000001'],
    startedAtMs: 0,
  });
  const text = await metrics.render({ isUp: true, reading: null }, 0);
  const worker = dashboards.flatMap(({ text: json }) => metricsIn(json));
  const read = new Set([
    ...worker,
    ...dashboards.flatMap(expressions).flatMap(({ expr }) => metricsIn(expr)),
  ]);
  expect(read.size).toBe(30);
  expect([...read].filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
});

test('no secret stands in the files: the password comes from the environment, for the role that may only read', () => {
  const [postgres, prometheus] = datasources;
  expect(postgres).toMatchObject({
    user: 'losant_usage_reader',
    secureJsonData: { password: '$USAGE_DATABASE_PASSWORD' },
  });
  expect(prometheus?.secureJsonData).toBeUndefined();
});

test('docs/dashboards.md names every variable, and the folder in which the dashboards are looked for', () => {
  const text = readFileSync('docs/dashboards.md', 'utf8');
  const variables = new Set(provisioned.match(/(?<=\$)[A-Z_]+/g));
  expect([...variables].filter((name) => !text.includes(name))).toEqual([]);
  const { providers } = parse(readFileSync(`${PROVISIONING}/dashboards/losant-usage.yaml`, 'utf8')) as {
    readonly providers: readonly { readonly options: { readonly path: string } }[];
  };
  expect(providers.map(({ options: { path } }) => text.includes(path))).toEqual([true]);
});
