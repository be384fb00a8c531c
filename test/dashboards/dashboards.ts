/** Reads the dashboards of deploy/grafana with their queries, as Grafana sends them, and those of docs/sql. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ORGS } from '../console/world.ts';

const FOLDER = 'deploy/grafana/dashboards';

interface Target {
  readonly rawSql?: string;
  readonly expr?: string;
  readonly legendFormat?: string;
}

interface Panel {
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

export const dashboards: readonly (Dashboard & { readonly text: string; readonly file: string })[] = readdirSync(FOLDER)
  .toSorted()
  .map((file) => {
    const text = readFileSync(join(FOLDER, file), 'utf8');
    return { ...(JSON.parse(text) as Dashboard), text, file };
  });

interface SqlQuery {
  /** The dashboard, and the panel, variable or annotation. */
  readonly name: string;
  readonly sql: string;
  readonly panel: Panel | null;
}

/** Returns all queries that a dashboard sends to Postgres, with Grafana's variables and macros. */
export function sqlQueries({ title, panels, templating, annotations }: Dashboard): SqlQuery[] {
  const panelQueries = panels.flatMap((panel) =>
    panel.targets.flatMap(({ rawSql }) =>
      rawSql === undefined ? [] : [{ name: `${title} / ${panel.title}`, sql: rawSql, panel }],
    ),
  );
  const variableQueries = templating.list
    .filter(({ type }) => type === 'query')
    .map(({ name, query }) => ({ name: `${title} / $${name}`, sql: query, panel: null }));
  const annotationQueries = annotations.list.map(({ name, target }) => ({
    name: `${title} / annotation ${name}`,
    sql: target.rawSql ?? '',
    panel: null,
  }));
  return [...panelQueries, ...variableQueries, ...annotationQueries];
}

export interface Expression {
  readonly name: string;
  readonly expr: string;
  /** The labels in its legend. */
  readonly labels: readonly string[];
}

/** Returns all expressions that a dashboard sends to Prometheus, with Grafana's variables. */
export function expressions({ title, panels }: Dashboard): Expression[] {
  return panels.flatMap((panel) =>
    panel.targets.flatMap(({ expr, legendFormat = '' }) => {
      if (expr === undefined) return [];
      const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      return [{ name: `${title} / ${panel.title}`, expr, labels }];
    }),
  );
}

/** The variables that Grafana fills in. The range is from 31 October in Los Angeles to 29 November in Kiritimati. */
const VALUES: Readonly<Record<string, string>> = {
  '$__timeFrom()': `'2026-11-01T06:30:00Z'`,
  '$__timeTo()': `'2026-11-28T11:30:00Z'`,
  '${metric:sqlstring}': `'payload_billable_count'`,
  '${org:sqlstring}': `'${ORGS.gappy}'`,
};

/** Fills in the variables in the format `sqlstring` and the two macros of the time range. */
export function fillIn(sql: string): string {
  return sql.replaceAll(/\$(?:\{\w+:sqlstring\}|__timeFrom\(\)|__timeTo\(\))?/g, (variable) => {
    const value = VALUES[variable];
    if (value !== undefined) return value;
    throw new Error(`${variable}: use variables as sqlstring, $__timeFrom() or $__timeTo(): ${sql}`);
  });
}

/** Fills in the variable of an expression for Prometheus. */
export function fillInExpression(expr: string): string {
  const filled = expr.replaceAll('$__rate_interval', '5m');
  if (filled.includes('$')) throw new Error(`unknown variable: ${filled}`);
  return filled;
}

/** Returns the names of our metrics in an expression as /metrics declares them: histograms without a suffix. */
export function metricsIn(expr: string): string[] {
  return (expr.match(/\blosant_usage_\w+/g) ?? []).map((name) => name.replace(/_(?:bucket|sum|count)$/, ''));
}

const SQL_FOLDER = 'docs/sql';

/** The questions of docs/sql, sorted by file name. */
export const questions: readonly { readonly name: string; readonly sql: string }[] = readdirSync(SQL_FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .toSorted()
  .map((name) => ({ name, sql: readFileSync(join(SQL_FOLDER, name), 'utf8') }));
