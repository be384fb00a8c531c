/** The dashboards of deploy/grafana as people import them, with their queries as Grafana sends them, and docs/sql. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INSTANCE, ORGS, OTHER } from '../console/world.ts';

const FOLDER = 'deploy/grafana/dashboards';

interface Target {
  readonly rawSql?: string;
  readonly expr?: string;
  readonly legendFormat?: string;
}

export interface Panel {
  readonly type: string;
  readonly title: string;
  readonly fieldConfig: {
    readonly defaults: { readonly custom?: { readonly spanNulls?: boolean } };
    readonly overrides: readonly { readonly matcher: { readonly options: string } }[];
  };
  readonly targets: readonly Target[];
}

export interface Dashboard {
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: string;
      readonly current: { readonly value?: unknown };
    }[];
  };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly target: Target }[] };
}

/** Each with its text, in the order of the names of the files. */
export const dashboards: readonly (Dashboard & { readonly text: string; readonly file: string })[] =
  readdirSync(FOLDER)
    .toSorted()
    .map((file) => {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      return { ...(JSON.parse(text) as Dashboard), text, file };
    });

interface SqlQuery {
  /** Dashboard and panel, variable or annotation. */
  readonly name: string;
  readonly sql: string;
  readonly panel: Panel | null;
}

/** Returns every query of a dashboard that goes to Postgres, with Grafana's variables and macros still in it. */
export function sqlQueries({ title, panels, templating, annotations }: Dashboard): SqlQuery[] {
  const ofPanels = panels.flatMap((panel) =>
    panel.targets.flatMap(({ rawSql }) =>
      rawSql === undefined ? [] : [{ name: `${title} / ${panel.title}`, sql: rawSql, panel }],
    ),
  );
  const ofVariables = templating.list
    .filter(({ type }) => type === 'query')
    .map(({ name, query }) => ({ name: `${title} / $${name}`, sql: query, panel: null }));
  const ofMarks = annotations.list.map(({ name, target }) => ({
    name: `${title} / mark ${name}`,
    sql: target.rawSql ?? '',
    panel: null,
  }));
  return [...ofPanels, ...ofVariables, ...ofMarks];
}

export interface Expression {
  readonly name: string;
  readonly expr: string;
  /** The labels that its legend shows. */
  readonly labels: readonly string[];
}

/** Returns every expression for Prometheus, with Grafana's variables still in it. */
export function expressions({ title, panels }: Dashboard): Expression[] {
  return panels.flatMap((panel) =>
    panel.targets.flatMap(({ expr, legendFormat = '' }) => {
      if (expr === undefined) return [];
      const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      return [{ name: `${title} / ${panel.title}`, expr, labels }];
    }),
  );
}

/** What somebody chose: from 31 October in Los Angeles to 29 November in Kiritimati. */
const CHOSEN: Readonly<Record<string, string>> = {
  '$__timeFrom()': `'2026-11-01T06:30:00Z'`,
  '$__timeTo()': `'2026-11-28T11:30:00Z'`,
  '${instance:sqlstring}': `'${INSTANCE}','${OTHER}'`,
  '${metric:sqlstring}': `'payload_billable_count'`,
  '${comparison:sqlstring}': `'weekdays'`,
  '${org:sqlstring}': `'${ORGS.gappy}'`,
};

/** Returns the SQL that reaches Postgres: variables by their format `sqlstring`, and the two macros of the range. */
export function fillIn(sql: string): string {
  return sql.replaceAll(/\$(?:\{\w+:sqlstring\}|__timeFrom\(\)|__timeTo\(\))?/g, (found) => {
    const value = CHOSEN[found];
    if (value !== undefined) return value;
    throw new Error(`${found}: only variables as sqlstring, $__timeFrom() and $__timeTo(): ${sql}`);
  });
}

/** Returns the expression that reaches Prometheus. */
export function fillInExpression(expr: string): string {
  const filled = expr.replaceAll('$__rate_interval', '5m');
  if (filled.includes('$')) throw new Error(`Grafana's variables are left in: ${filled}`);
  return filled;
}

/** Returns the names of our metrics in an expression, as /metrics declares them: histograms without their suffix. */
export function metricsIn(expr: string): string[] {
  return (expr.match(/\blosant_usage_\w+/g) ?? []).map((name) => name.replace(/_(?:bucket|sum|count)$/, ''));
}

const SQL_FOLDER = 'docs/sql';

/** The questions of docs/sql, by the names of their files. */
export const questions: readonly { readonly name: string; readonly sql: string }[] = readdirSync(SQL_FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .toSorted()
  .map((name) => ({ name, sql: readFileSync(join(SQL_FOLDER, name), 'utf8') }));
