/** How far the numbers reach, for all and for how many. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { asProgram, openLedger, rowsOf } from '../database/ledger.ts';
import { devices } from './loads.ts';

test('one organization that is stuck holds complete_to back, and is the only one not complete', async () => {
  const own = await openLedger('postgres');
  try {
    const [row] = await rowsOf(
      own.db,
      sql`select (now() at time zone 'UTC')::date - 1 as yesterday,
      (now() at time zone 'UTC')::date - 3 as first`,
    );
    const { yesterday, first } = row as { yesterday: string; first: string };
    const orgIds = [await own.newOrg(), await own.newOrg(), await own.newOrg(), await own.newOrg()];
    // The last one left the configuration with a day missing: it is no more counted.
    await asProgram(own.db, (trx) =>
      sql`insert into losant_usage.tracking (org_id, stream, tracked_days)
        select org_id, 'device_counts', datemultirange(daterange(${first}::date, case when nth < 4 then null else ${first}::date + 2 end))
        from unnest(${orgIds}::text[]) with ordinality as o (org_id, nth)`.execute(trx),
    );
    const between = sql`select ${first}::date + 1 as day`;
    const [middle] = await rowsOf(own.db, between);
    const days = [first, (middle as { day: string }).day, yesterday];
    const [one, two, three, gone] = orgIds as [string, string, string, string];
    await own.load([
      ...[one, two].flatMap((orgId) => days.map((day) => devices(orgId, day, 1, 0, 1))),
      ...[first, yesterday].map((day) => devices(three, day, 1, 0, 1)),
      devices(gone, days[1] as string, 1, 0, 1),
    ]);
    const reach = sql`select orgs_tracked, orgs_complete, tracked_from, newest_day, complete_to, gaps, orgs_with_gaps, oldest_gap
      from losant_usage.freshness`;
    expect(await rowsOf(own.db, reach)).toEqual([
      {
        orgs_tracked: 3,
        orgs_complete: 2,
        tracked_from: first,
        newest_day: yesterday,
        complete_to: null,
        gaps: 2,
        orgs_with_gaps: 2,
        oldest_gap: first,
      },
    ]);
    await own.load([devices(gone, first, 1, 0, 1)]);
    expect(await rowsOf(own.db, reach)).toMatchObject([
      { orgs_tracked: 3, orgs_complete: 2, complete_to: first, gaps: 1, oldest_gap: days[1] },
    ]);
  } finally {
    await own.close();
  }
});

test('a key of a tag that repeats counts an organization once where nth is 1', async () => {
  const own = await openLedger('postgres');
  try {
    const orgId = await own.newOrg();
    await sql`update losant_usage.organizations
      set tags = ${JSON.stringify([
        { key: 'region', value: 'eu' },
        { key: 'tier', value: 'gold' },
        { key: 'region', value: 'us' },
      ])}::text::jsonb where org_id = ${orgId}`.execute(own.db);
    expect(
      await rowsOf(own.db, sql`select key, value, nth from losant_usage.organization_tags order by key, nth`),
    ).toEqual([
      { key: 'region', value: 'eu', nth: 1 },
      { key: 'region', value: 'us', nth: 2 },
      { key: 'tier', value: 'gold', nth: 1 },
    ]);
  } finally {
    await own.close();
  }
});
