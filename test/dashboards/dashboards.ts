/** The dashboards of deploy/grafana as people import them, and their queries as Grafana sends them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = 'deploy/grafana/dashboards';

export interface DataSource {
  readonly type: string;
  readonly uid: string;
}

export interface Target {
  readonly refId: string;
  readonly datasource: DataSource;
  readonly format?: 'table' | 'time_series';
  readonly rawSql?: string;
  readonly expr?: string;
  readonly legendFormat?: string;
}

export interface Override {
  readonly matcher: { readonly id: string; readonly options: string };
  readonly properties: readonly { readonly id: string; readonly value: unknown }[];
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: DataSource;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit: string;
      readonly noValue?: string;
      readonly custom: { readonly spanNulls?: boolean; readonly insertNulls?: boolean };
    };
    readonly overrides: readonly Override[];
  };
  readonly targets?: readonly Target[];
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly current: { readonly value?: unknown };
  readonly datasource?: DataSource;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly timezone: string;
  readonly schemaVersion: number;
  readonly links: readonly { readonly type: string; readonly tags: readonly string[] }[];
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: {
    readonly list: readonly {
      readonly name: string;
      readonly datasource: DataSource;
      readonly target?: Target;
    }[];
  };
}

/** Each with its file's text, in the order of their names. */
export const dashboards: readonly (Dashboard & { readonly text: string })[] = readdirSync(FOLDER)
  .toSorted()
  .map((name) => {
    const text = readFileSync(join(FOLDER, name), 'utf8');
    return { ...(JSON.parse(text) as Dashboard), text };
  });

export interface SqlQuery {
  /** Dashboard and panel, variable or annotation. */
  readonly name: string;
  readonly sql: string;
  readonly panel: Panel | null;
  readonly target: Target | null;
}

/** Every query of a dashboard that goes to Postgres, with Grafana's variables and macros still in it. */
export function sqlQueries({ title, panels, templating, annotations }: Dashboard): SqlQuery[] {
  const ofPanels = panels.flatMap((panel) =>
    (panel.targets ?? []).flatMap((target) =>
      target.rawSql === undefined
        ? []
        : [{ name: `${title} / ${panel.title}`, sql: target.rawSql, panel, target }],
    ),
  );
  const ofVariables = templating.list.flatMap(({ name, type, query }) =>
    type === 'query' && typeof query === 'string'
      ? [{ name: `${title} / $${name}`, sql: query, panel: null, target: null }]
      : [],
  );
  const ofAnnotations = annotations.list.flatMap(({ name, target }) =>
    target?.rawSql === undefined
      ? []
      : [{ name: `${title} / annotation ${name}`, sql: target.rawSql, panel: null, target }],
  );
  return [...ofPanels, ...ofVariables, ...ofAnnotations];
}

export interface Expression {
  readonly name: string;
  readonly expr: string;
  /** The labels that its legend shows. */
  readonly labels: readonly string[];
}

/** Every expression for Prometheus, with Grafana's variables still in it. */
export function expressions({ title, panels }: Dashboard): Expression[] {
  return panels.flatMap((panel) =>
    (panel.targets ?? []).flatMap(({ refId, expr, legendFormat = '' }) => {
      if (expr === undefined) return [];
      const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      return [{ name: `${title} / ${panel.title} ${refId}`, expr, labels }];
    }),
  );
}

export interface Chosen {
  readonly from: string;
  readonly to: string;
  readonly variables: Readonly<Record<string, readonly string[]>>;
}

/** The SQL that reaches Postgres: variables by their format `sqlstring`, and the two macros of the range. */
export function fillIn(sql: string, { from, to, variables }: Chosen): string {
  return sql.replaceAll(/\$(?:\{(\w+):sqlstring\}|__timeFrom\(\)|__timeTo\(\))?/g, (found, name?: string) => {
    if (found === '$__timeFrom()') return `'${from}'`;
    if (found === '$__timeTo()') return `'${to}'`;
    const values = name === undefined ? undefined : variables[name];
    if (!values)
      throw new Error(`${found}: only variables as sqlstring, $__timeFrom() and $__timeTo(): ${sql}`);
    return values.map((value) => `'${value.replaceAll(`'`, `''`)}'`).join(',');
  });
}

/** The expression that reaches Prometheus, with everything chosen. */
export function fillInExpression(expr: string): string {
  const filled = expr
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$instance', '.*')
    .replaceAll('$stream', '.*');
  if (filled.includes('$')) throw new Error(`Grafana's variables are left in: ${filled}`);
  return filled;
}

/** The names of our metrics that an expression reads, as /metrics declares them: histograms without their suffix. */
export function metricsIn(expr: string): string[] {
  return (expr.match(/\blosant_usage_\w+/g) ?? []).map((name) => name.replace(/_(?:bucket|sum|count)$/, ''));
}

const SQL_FOLDER = 'docs/sql';

/** The questions of docs/sql, by the names of their files. */
export const questions: readonly { readonly name: string; readonly sql: string }[] = readdirSync(SQL_FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .toSorted()
  .map((name) => ({ name, sql: readFileSync(join(SQL_FOLDER, name), 'utf8') }));
