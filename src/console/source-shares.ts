import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import type { Html } from './elements.ts';
import { renderBar, renderHtmlTable } from './table.ts';

type SourceShare = {
  readonly payload_type: string;
  readonly source: string;
  readonly count: number;
  readonly share: number;
};

const MAX_SOURCES = 25;

/** Returns the payloads by type and source of the organizations `o` that match, on days that are stored. */
export async function readSourceShares(
  db: Kysely<Schema>,
  { from, to }: DayRange,
  condition: RawBuilder<unknown>,
): Promise<readonly SourceShare[]> {
  const { rows } = await sql<SourceShare>`
    select s.payload_type, s.source, sum(s.count)::bigint as count,
      (sum(s.count) / sum(sum(s.count)) over ())::float8 as share
    from losant_usage.payload_sources s join losant_usage.organizations o on o.org_id = s.org_id
    where ${condition} and s.usage_date between ${from}::date and ${to}::date
    group by s.payload_type, s.source having sum(s.count) > 0 order by 3 desc, 1, 2`.execute(db);
  return rows;
}

/** Renders the largest shares; what follows them is one row, so that the column adds up. */
export function renderSourceShares(shares: readonly SourceShare[]): Html {
  if (shares.length === 0) return html`<p>Nothing is stored.</p>`;
  const others = shares.slice(MAX_SOURCES);
  const sumOf = (key: 'count' | 'share') => others.reduce((sum, each) => sum + each[key], 0);
  const otherShares = {
    payload_type: 'others',
    source: count(others.length, 'source'),
    count: sumOf('count'),
    share: sumOf('share'),
  };
  return renderHtmlTable([...shares.slice(0, MAX_SOURCES), ...(others.length > 0 ? [otherShares] : [])], {
    payload_type: 'Type',
    source: 'Source',
    count: 'Payloads',
    // In tenths of a percent, because cut off they would not add up.
    share: ['Share', ({ share }) => renderBar(share, Math.round(share * 1_000) / 10)],
  });
}
