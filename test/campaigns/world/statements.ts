/** What was invoiced, held against the tables. */
import { queryOnce } from '../../support/databases.ts';
import type { Ledger } from './ledger.ts';
import { COLUMNS } from './truth.ts';

/** The metrics with their streams. */
const METRICS = Object.entries(COLUMNS).flatMap(([stream, columns]) =>
  Object.values(columns)
    .filter((column) => column !== 'payload_sources')
    .map((metric) => ({ stream, metric })),
);

/** The statements that were made, by id, as text: nothing changes them. */
export type Statements = Map<string, string>;

const STATEMENTS = `
  select s.statement_id as id, concat_ws(E'\\n', s::text, string_agg(l::text, E'\\n' order by l::text)) as text
  from losant_usage.statements s left join losant_usage.statement_lines l using (statement_id)
  group by s.statement_id, s`;

/** What was invoiced of a month and is still to be settled, by organization and metric. */
const SETTLED = `
  select to_char(month, 'YYYY-MM') as month, org_id as "orgId", metric, sum(quantity)::text as quantity
  from (
    select s.month, l.org_id, l.metric, l.quantity
    from losant_usage.statements s join losant_usage.statement_lines l using (statement_id) where l.kind = 'flow'
    union all
    select month, org_id, metric, difference from losant_usage.adjustments where kind = 'flow'
  ) as l
  group by 1, 2, 3`;

const CLOSED = `
  select distinct concat_ws(' ', to_char(month, 'YYYY-MM'), instance_id) as month from losant_usage.statements`;

type Row = Readonly<Record<'id' | 'text' | 'month' | 'orgId' | 'metric' | 'quantity', string>>;

/**
 * Every statement stays as it was made, and what they say of a month together with what is not settled yet is what the
 * tables say of it now, where all of it may be billed.
 */
export async function checkStatements(url: string, ledger: Ledger, known: Statements): Promise<string[]> {
  const rowsOf = async (statement: string) => (await queryOnce(url, statement)) as Row[];
  const made = await rowsOf(STATEMENTS);
  const gone = [...known.keys()].filter((id) => made.every((each) => each.id !== id));
  const lines = gone.map((id) => `statement ${id} is gone`);
  for (const { id, text } of made) {
    if ((known.get(id) ?? text) !== text) lines.push(`statement ${id} has changed`);
    known.set(id, text);
  }
  if (made.length === 0) return lines;
  const rows = await rowsOf(SETTLED);
  const settled = new Map(
    rows.map(({ month, orgId, metric, quantity }) => [`${month} ${orgId} ${metric}`, quantity]),
  );
  const closed = await rowsOf(CLOSED);
  const months = new Set(closed.map(({ month }) => month));
  const sums = new Map<string, bigint | null>();
  for (const { stream, day, orgId, instanceId, standing, numbers } of ledger.cells.values()) {
    if (!months.has(`${day.slice(0, 7)} ${instanceId}`)) continue;
    for (const { metric } of METRICS.filter(
      (each) => each.stream === stream && each.metric !== 'devices_total',
    )) {
      const key = `${day.slice(0, 7)} ${orgId} ${metric}`;
      const sum = sums.get(key);
      // What is open is neither billed nor adjusted.
      const isOpen = sum === null || !['final', 'accepted'].includes(standing);
      sums.set(key, isOpen ? null : (sum ?? 0n) + BigInt(numbers?.[metric] ?? 0));
    }
  }
  for (const [key, sum] of sums) {
    if (sum !== null && BigInt(settled.get(key) ?? 0) !== sum)
      lines.push(`${key}: statements and adjustments say ${settled.get(key)}, the tables ${sum}`);
  }
  return lines;
}
