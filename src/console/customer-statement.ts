/** The statement of a customer for a month: a page of the console, and the file that `statement --customers` writes. */
import { html } from 'hono/html';
import type { Kysely } from 'kysely';
import type { CustomerLine, CustomerStatement } from '../billing/customers.ts';
import { addQuantities, type Statement } from '../billing/statements.ts';
import type { Schema } from '../database/schema.ts';
import { renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import type { NamedInstance } from '../ledger/instances.ts';
import { ABSENT } from '../queries/usage-totals.ts';
import { count, joinParts, showName } from '../terminal/words.ts';
import { compareText } from '../usage/cell.ts';
import { daysOfMonth, eachDay, type Month } from '../usage/day.ts';
import { renderChart } from './chart.ts';
import { type Html, renderFacts, renderInstant, showMonth } from './elements.ts';
import { renderDocument } from './page.ts';
import { renderHtmlTable } from './table.ts';

export interface StatementMonth {
  readonly instance: NamedInstance;
  readonly month: Month;
  /** The statements of the month, oldest first. */
  readonly statements: readonly Statement[];
  /** What each metric counts, in the order in which they are listed. */
  readonly metrics: ReadonlyMap<string, string>;
}

export async function readMetrics(db: Kysely<Schema>): Promise<StatementMonth['metrics']> {
  const metrics = db.selectFrom('metrics').select(['metric', 'description']).orderBy('position');
  return new Map((await metrics.execute()).map(({ metric, description }) => [metric, description]));
}

export function nameCustomer({ lines }: CustomerStatement): string {
  const orgs = new Map(lines.map(({ org_id: id, org_name: name }) => [id, showName(name, id)]));
  const names = [...orgs.values()].toSorted();
  return names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? '');
}

export function titleStatement(customer: CustomerStatement, { month }: StatementMonth): string {
  return `${nameCustomer(customer)}, ${showMonth(month)}`;
}

/** Renders the statement, without links: it is printed and sent. */
export function renderCustomerStatement(customer: CustomerStatement, month: StatementMonth): Html {
  const { key, lines } = customer;
  const { instance, statements } = month;
  const orgs = new Map(lines.map(({ org_id: id, org_name: name }) => [id, name]));
  const distinct = (name: 'referral_id' | 'plan_id') => joinParts(', ', ...new Set(lines.map((line) => line[name])));
  const byNumber = Map.groupBy(lines, ({ number }) => number);
  return html`<article><h1>${titleStatement(customer, month)}</h1>
${renderFacts({
  Customer: key.customerId,
  [orgs.size === 1 ? 'Organization' : 'Organizations']: html`${[...orgs].map(
    ([id, name]) => html`<div>${name} <span class="quiet id">${id}</span></div>`,
  )}`,
  'Referral ID': distinct('referral_id'),
  Plan: distinct('plan_id'),
  Instance: html`${instance.name} <span class="quiet id">${instance.instanceId}</span>`,
})}
${(byNumber.size > 1 || orgs.size > 1) && renderTotals(lines, month)}
${statements.map((statement) => {
  const statementLines = byNumber.get(statement.number);
  return statementLines === undefined ? '' : renderStatement(statement, statementLines, month);
})}
${renderDays(customer, month)}
<p class="quiet">Days are in UTC. Quantities are those of the statements above. Each SHA-256 is that of the manifest
of its proof pack.</p></article>`;
}

function renderTotals(lines: readonly CustomerLine[], { metrics }: StatementMonth): Html {
  const rows = [...Map.groupBy(sortLines(lines, metrics), ({ metric }) => metric)].map(([metric, metricLines]) => ({
    usage: metrics.get(metric) ?? metric,
    unit: metricLines[0]?.unit ?? '',
    quantity: toInteger(metricLines.map(({ quantity }) => quantity || null).reduce(addQuantities, null)),
  }));
  return html`<h2>Total of the month</h2>${renderHtmlTable(rows, ['usage', 'unit', ['quantity', 'Billed']])}`;
}

/** Not a number, because quantities may exceed 2^53. */
function toInteger(quantity: string | null): bigint | null {
  return quantity === null || quantity === '' ? null : BigInt(quantity);
}

/** Renders what a statement bills. A column that would say the same in every row is omitted. */
function renderStatement(
  { number, kind, closedAt, closedBy, manifestSha256 }: Statement,
  lines: readonly CustomerLine[],
  { metrics }: StatementMonth,
): Html {
  const orgs = new Map(lines.map(({ org_id: id, org_name: name }) => [id, showName(name, id)]));
  const hasOrgs = orgs.size > 1;
  const hasNamesakes = new Set(orgs.values()).size < orgs.size;
  const isFirst = lines.every(({ billed_before: before }) => before === '');
  const rows = sortLines(lines, metrics).map((line) => ({
    org: hasOrgs ? (orgs.get(line.org_id) ?? null) : null,
    orgId: line.org_id,
    usage: metrics.get(line.metric) ?? line.metric,
    unit: line.unit,
    before: toInteger(line.billed_before),
    quantity: toInteger(line.quantity),
    total: isFirst ? null : toInteger(line.total),
  }));
  return html`<h2>Statement ${number}, ${kind}</h2>
${renderFacts({
  Created: renderInstant(closedAt),
  'Created by': closedBy,
  Organization: !hasOrgs && [...orgs.values()].join(),
})}
${renderHtmlTable(rows, [
  ['org', 'Organization', ({ org, orgId }) => html`${org}${hasNamesakes && html` <span class="id">${orgId}</span>`}`],
  'usage',
  'unit',
  ['before', 'Billed before'],
  ['quantity', isFirst ? 'Billed' : 'Difference'],
  'total',
])}
<p class="quiet">SHA-256 <code>${manifestSha256}</code></p>`;
}

function renderDays({ dayMetric, days, lines }: CustomerStatement, { month, metrics }: StatementMonth): Html | string {
  if (dayMetric === null) return '';
  const byDay = new Map(days.map((day) => [day.day, day]));
  const label = metrics.get(dayMetric) ?? dayMetric;
  const notBilled = days.reduce((sum, { valuesNotStored }) => sum + valuesNotStored, 0);
  return renderChart({
    heading: {
      title: `${label} by day`,
      summary: notBilled === 0 ? '' : `${count(notBilled, 'value is', 'values are')} not billed and not included.`,
    },
    unit: lines.find(({ metric }) => metric === dayMetric)?.unit ?? '',
    lack: 'not billed',
    days: eachDay(daysOfMonth(month)).map((day) => ({ ...ABSENT, ...(byDay.get(day) ?? { day }) })),
    comparison: null,
    addressOf: null,
  });
}

function sortLines(lines: readonly CustomerLine[], metrics: StatementMonth['metrics']): CustomerLine[] {
  const names = [...metrics.keys()];
  return lines.toSorted(
    (a, b) =>
      a.number - b.number ||
      compareText(a.org_name, b.org_name) ||
      compareText(a.org_id, b.org_id) ||
      names.indexOf(a.metric) - names.indexOf(b.metric),
  );
}

export async function renderStatementFile(customer: CustomerStatement, month: StatementMonth): Promise<string> {
  const body = html`<body>
<main>
${renderCustomerStatement(customer, month)}
</main>
</body>`;
  return await renderDocument(titleStatement(customer, month), body);
}

const TEXT_COLUMNS = ['closed_by', 'customer_id', 'org_name', 'referral_id', 'plan_id'];

export function renderStatementCsv(
  { lines }: CustomerStatement,
  { instance, month, statements, metrics }: StatementMonth,
): string {
  const byNumber = new Map(statements.map((statement) => [statement.number, statement]));
  const rows = sortLines(lines, metrics).map(({ number, ...line }) => {
    const { kind, closedAt, closedBy, manifestSha256 } = byNumber.get(number) as Statement;
    const statement = { number, statement_kind: kind, closed_at: closedAt, closed_by: closedBy };
    // Only a name may be an empty text.
    const fields = Object.entries(line).map(
      ([name, text]) => [name, name === 'org_name' ? text : text || null] as const,
    );
    const head = { instance_id: instance.instanceId, month, ...statement, manifest_sha256: manifestSha256 };
    return { ...head, ...Object.fromEntries(fields) };
  });
  const columns = Object.keys(rows[0] ?? {}).map((name) => ({ name, isText: TEXT_COLUMNS.includes(name) }));
  return `${renderCsvHeader(columns)}${renderCsvRows(columns, rows.map(Object.values))}`;
}
