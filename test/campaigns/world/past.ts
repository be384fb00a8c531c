/** The past as it was known then, and what was invoiced by it. */
import pg from 'pg';
import type { LedgerRows } from './ledger-rows.ts';
import { NUMBERS } from './truth.ts';

const METRICS: Readonly<Record<string, readonly [stream: string, column: string]>> = Object.fromEntries([
  ...Object.entries(NUMBERS).flatMap(([stream, columns]) =>
    Object.entries(columns).map(([column, metric]) => [metric, [stream, column]] as const),
  ),
  ['payload_source_count', ['payload_sources', 'count']],
]);

/** The numbers at a moment, a line for each organization and day. */
export interface Moment {
  readonly atMs: number;
  readonly lines: readonly string[];
}

const numbersOf = (source: string) => `
  select concat_ws(' ', org_id, usage_date, ${Object.keys(METRICS)
    .map((metric) => `coalesce(${metric}::text, '-')`)
    .join(', ')}) as line
  from ${source} where num_nonnulls(${Object.keys(METRICS).join(', ')}) > 0 order by 1`;

async function linesOf(client: pg.Client, source: string): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(numbersOf(source));
  return rows.map(({ line }) => line);
}

export async function readMoment(url: string, atMs: number): Promise<Moment> {
  return await withClient(url, async (client) => ({
    atMs,
    lines: await linesOf(client, 'losant_usage.usage_days'),
  }));
}

/** `usage_as_of` tells a moment as it was. */
export async function checkMoment(url: string, { atMs, lines }: Moment): Promise<string[]> {
  const at = new Date(atMs).toISOString();
  const told = await withClient(url, (client) => linesOf(client, `losant_usage.usage_as_of('${at}')`));
  const lacks = lines.filter((line) => !told.includes(line));
  const extra = told.filter((line) => !lines.includes(line));
  return [
    ...lacks.map((line) => `usage_as_of(${at}) lacks ${line}`),
    ...extra.map((line) => `usage_as_of(${at}) tells ${line}`),
  ].slice(0, 4);
}

/** The statements that were made, by id, as text: nothing changes them. */
export type Statements = Map<string, string>;

/**
 * Every statement stays as it was made, and what they say of a month together with what is not settled yet is what
 * the tables say of it now, where all of it may be billed.
 */
export async function checkStatements(url: string, ledger: LedgerRows, known: Statements): Promise<string[]> {
  return await withClient(url, async (client) => {
    const { rows: statements } = await client.query<{ id: string; text: string }>(STATEMENTS);
    const lines = [...known.keys()]
      .filter((id) => !statements.some((each) => each.id === id))
      .map((id) => `statement ${id} is gone`);
    for (const { id, text } of statements) {
      if ((known.get(id) ?? text) !== text) lines.push(`statement ${id} has changed`);
      known.set(id, text);
    }
    if (statements.length === 0) return lines;
    const { rows } = await client.query<Settled>(SETTLED);
    return [...lines, ...compareWithNow(ledger, rows)];
  });
}

const STATEMENTS = `
  select s.statement_id as id, concat_ws(E'\\n', s::text, string_agg(l::text, E'\\n' order by l.org_id, l.period_start, l.metric)) as text
  from losant_usage.statements s left join losant_usage.statement_lines l using (statement_id) group by s.statement_id, s`;

interface Settled {
  readonly month: string;
  readonly orgId: string;
  readonly metric: string;
  readonly billed: string;
  readonly pending: string;
}

const SETTLED = `
  with closed as (select distinct period_month from losant_usage.statements), billed as (
    select s.period_month, l.org_id, l.metric, sum(l.quantity) as quantity
    from losant_usage.statements s join losant_usage.statement_lines l using (statement_id)
    where l.kind = 'flow' group by 1, 2, 3
  ), pending as (
    select period_month, org_id, metric, sum(difference) as quantity from losant_usage.adjustments
    where kind = 'flow' group by 1, 2, 3
  )
  select c.period_month::text as month, coalesce(b.org_id, p.org_id) as "orgId", coalesce(b.metric, p.metric) as metric,
    coalesce(b.quantity, 0)::text as billed, coalesce(p.quantity, 0)::text as pending
  from closed c join (billed b full join pending p using (period_month, org_id, metric)) using (period_month)`;

function compareWithNow({ cells }: LedgerRows, settled: readonly Settled[]): string[] {
  const now = new Map<string, bigint>();
  const keyOf = (month: string, orgId: string, metric: string) => `${month.slice(0, 7)} ${orgId} ${metric}`;
  const flows = Object.entries(METRICS).filter(([metric]) => metric !== 'devices_total');
  // What is not settled is neither billed nor adjusted.
  const open = new Set<string>();
  for (const { isTracked, standing, stream, day, orgId, rows } of cells) {
    if (!isTracked) continue;
    for (const [metric, [of, column]] of flows) {
      if (of !== stream) continue;
      const key = keyOf(day, orgId, metric);
      if (standing !== 'final' && standing !== 'accepted') open.add(key);
      now.set(
        key,
        rows.reduce((sum, row) => sum + BigInt(Number(row[column])), now.get(key) ?? 0n),
      );
    }
  }
  const months = new Set(settled.map(({ month }) => month.slice(0, 7)));
  const said = new Map(settled.map((each) => [keyOf(each.month, each.orgId, each.metric), each]));
  const keys = new Set([...said.keys(), ...[...now.keys()].filter((key) => months.has(key.slice(0, 7)))]);
  return [...keys].flatMap((key) => {
    const { billed, pending } = said.get(key) ?? { billed: '0', pending: '0' };
    const is = now.get(key) ?? 0n;
    return open.has(key) || BigInt(billed) + BigInt(pending) === is
      ? []
      : [`${key}: statements say ${billed}, adjustments ${pending}, the tables ${is}`];
  });
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
