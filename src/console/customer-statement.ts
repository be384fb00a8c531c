/** The statement of a customer for a month, to be printed. */
import { html } from 'hono/html';
import type { Kysely } from 'kysely';
import { type CustomerLine, readCustomerLines } from '../billing/statements.ts';
import type { Schema } from '../database/schema.ts';
import { count, showName } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { type Html, renderFacts, renderInstant, showMonth } from './elements.ts';
import { type ConsolePage, readMonth } from './page.ts';
import { renderHtmlTable } from './table.ts';

/** The customer is in the query: its ID may have any characters. */
export const customerPage: ConsolePage = {
  path: '/billing/:month/customer',
  subject: 'The statement',
  show: async (request) => {
    const month = readMonth(request);
    const key = (request.query['key'] ?? '').replaceAll('\0', '').toWellFormed();
    if (month === null || key === '') return null;
    return await request.read((db) => readStatementPage(db, month, key));
  },
};

/** Returns null if the customer has no statement. */
async function readStatementPage(db: Kysely<Schema>, month: Month, key: string) {
  const [lines, instance, metrics] = await Promise.all([
    readCustomerLines(db, month, key),
    db.selectFrom('instance').select(['instance_id as id', 'name']).executeTakeFirst(),
    db.selectFrom('metrics').select(['metric', 'description']).execute(),
  ]);
  if (lines.length === 0) return null;
  const descriptions = new Map(metrics.map(({ metric, description }) => [metric, description]));
  const orgs = new Map(lines.map(({ orgId, orgName }) => [orgId, showName(orgName, orgId)]));
  const names = [...orgs.values()];
  const subject = names.length > 1 ? `${names[0]} and ${names.length - 1} more` : names.join();
  const title = `${subject}, ${showMonth(month)}`;
  const body = html`<article><h1>${title}</h1>
${renderFacts({
  Customer: orgs.has(key) ? null : key,
  [orgs.size === 1 ? 'Organization' : 'Organizations']: html`${[...orgs].map(
    ([id, name]) => html`<div>${name} <span class="quiet id">${id}</span></div>`,
  )}`,
  Instance: html`${instance?.name} <span class="quiet id">${instance?.id}</span>`,
})}
${lines.length > new Set(lines.map(({ metric }) => metric)).size && renderTotals(lines, descriptions)}
${[...Map.groupBy(lines, ({ number }) => number).values()].map((each) => renderStatement(each, descriptions))}
<p class="quiet">Days are in UTC. A level is the number of the last day that is stored.</p></article>`;
  return { title, body };
}

type Descriptions = ReadonlyMap<string, string>;

/** Renders the sums over organizations and statements. */
function renderTotals(lines: readonly CustomerLine[], descriptions: Descriptions): Html {
  const rows = [...Map.groupBy(lines, ({ metric }) => metric)].map(([metric, metricLines]) => ({
    usage: descriptions.get(metric) ?? metric,
    // Not a number, because a sum may exceed 2^53.
    quantity: metricLines.every(({ quantity }) => quantity === null)
      ? null
      : metricLines.reduce((sum, { quantity }) => sum + BigInt(quantity ?? 0), 0n),
    unit: metricLines[0]?.unit ?? '',
  }));
  return html`<h2>Total of the month</h2>${renderHtmlTable(rows, ['usage', 'quantity', 'unit'])}`;
}

function renderStatement(lines: readonly CustomerLine[], descriptions: Descriptions): Html {
  const { number, kind, createdAt } = lines[0] as CustomerLine;
  const orgNames = new Map(lines.map(({ orgId, orgName }) => [orgId, showName(orgName, orgId)]));
  const hasOrgs = orgNames.size > 1;
  const hasNamesakes = new Set(orgNames.values()).size < orgNames.size;
  const rows = lines.map((line) => ({
    ...line,
    org: hasOrgs ? showName(line.orgName, line.orgId) : null,
    usage: descriptions.get(line.metric) ?? line.metric,
    average: line.average === null ? null : Number(line.average),
    lacking: line.daysExpected - line.daysStored || null,
  }));
  const isClosing = kind === 'closing';
  return html`<h2>Statement ${number}, ${kind}</h2>
<p class="quiet">Created ${renderInstant(createdAt)}</p>
${renderHtmlTable(rows, [
  'usage',
  [
    'org',
    'Organization',
    ({ orgName, orgId }) =>
      html`${showName(orgName, orgId)}${hasNamesakes && html` <span class="quiet id">${orgId}</span>`}`,
  ],
  ['quantity', isClosing ? 'Quantity' : 'Difference'],
  'unit',
  'maximum',
  'average',
  ['lacking', 'Days not stored', ({ daysExpected, daysStored }) => describeDays(daysExpected, daysStored)],
])}`;
}

function describeDays(expected: number, stored: number): string {
  return `${expected - stored} of ${count(expected, 'day')}`;
}
