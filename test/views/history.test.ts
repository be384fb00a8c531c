/** The numbers known at an instant, and the changes since, along a random history of loads. */
import { sql } from 'kysely';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Verdict } from '../../src/usage/cell.ts';
import type { PayloadSources } from '../../src/usage/numbers.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { rollFrom } from '../campaigns/world/dice.ts';
import { at, cellResponse, RUN_1, useLedger } from '../ledger/ledger.ts';
import { asOwner, asWriter } from '../support/databases.ts';
import { devices, failed, hours, minutes, omitted, report, totals } from '../usage/cells.ts';

const START = '2026-11-20T06:00:00.000Z';
const ledger = useLedger(START);

const split = (sources: PayloadSources) => {
  const count = Object.values(sources)
    .flatMap((each) => Object.values(each))
    .reduce((a, b) => a + b, 0);
  return report({ payload_source_count: count, payload_sources: sources });
};

describe('along a random history', () => {
  const INSTANTS = sql`(select distinct at from public.instants)`;
  const AS_OF = sql`(select t.at, d.* from ${INSTANTS} t cross join lateral losant_usage.usage_as_of(t.at) d)`;

  beforeAll(async () => {
    await ledger.clear();
    const [from, to] = ['2026-11-18', '2026-11-19'];
    const createOrg = () => ledger.expectDays({ from, to }, streamNames);
    const orgs = [await createOrg(), await createOrg()];
    const dice = rollFrom(11);
    const count = () => dice.below(4);
    const numbersOf = (stream: string): Verdict => {
      if (stream === 'device_counts') return report(devices(count(), count(), count()));
      if (stream === 'notebook_minutes') return report(minutes(count(), count()));
      if (stream === 'payload_totals') return report(totals(count(), count(), count()));
      if (stream === 'payload_hours') return report(hours(count(), count(), count()));
      if (stream !== 'payload_sources') throw new Error(`add numbers of ${stream} here`);
      return split({ [dice.pick(['timer', '__proto__x', 'webhook'])]: { [dice.pick(['a', 'b'])]: count() } });
    };
    const verdictOf = (stream: string) =>
      dice.chance(0.25) ? dice.pick([omitted, omitted, failed]) : numbersOf(stream);
    // The schema has no table of past states, so the test creates one.
    await asOwner(
      ledger.url,
      `create table public.instants as select now() as at, * from losant_usage.daily_usage with no data;
       grant select, insert on public.instants to losant_usage_writer, losant_usage_reader`,
    );
    for (let step = 0; step < 25; step += 1) {
      await ledger.setTime(new Date(at(START) + step * 3 * 3_600_000).toISOString());
      const cells = orgs.flatMap((orgId) =>
        [from, to].flatMap((day) => streamNames.map((stream) => [orgId, stream, day] as const)),
      );
      const cellsToLoad = cells.filter(() => dice.chance(0.3));
      await ledger.load(cellsToLoad.map(([orgId, stream, day]) => cellResponse(orgId, stream, day, verdictOf(stream))));
      await asWriter(ledger.url, 'insert into public.instants select now(), * from losant_usage.daily_usage');
    }
  });

  test('usage_as_of has the numbers that were stored at each instant, and no others', async () => {
    const wrong = await ledger.list(sql`select at, usage_date, org_id, metric, d.quantity, i.quantity
      from ${AS_OF} d
      full join (
        select i.at, i.usage_date, i.org_id, k.metric, (to_jsonb(i) ->> k.metric)::bigint as quantity
        from public.instants i cross join losant_usage.metrics k
      ) as i using (at, usage_date, org_id, metric)
      where d.quantity is distinct from i.quantity`);
    expect(wrong).toEqual([]);
  });

  test('usage_as_of has a standing unless the number changed or first became final since', async () => {
    const later = sql`c.finalized_at > d.at or exists (select from losant_usage.restatements r
      where (r.org_id, r.usage_date, r.stream) = (d.org_id, d.usage_date, d.stream) and r.changed_at > d.at)`;
    const wrong = sql`select d.at, d.usage_date, d.org_id, d.metric from ${AS_OF} d
      join losant_usage.cells c using (org_id, usage_date, stream)
      where d.standing is distinct from (case when ${later} then null else c.standing end)`;
    expect(await ledger.list(wrong)).toEqual([]);
    const counts = sql`select count(*) > count(standing) as has_unknown, count(standing) > 0 as has_known from ${AS_OF} d`;
    expect(await ledger.list(counts)).toEqual(['true true']);
  });

  test('numbers as of an instant plus changes_since give the current numbers', async () => {
    const wrong = await ledger.list(sql`select i.at, i.usage_date, i.org_id, k.metric from public.instants i
      join losant_usage.daily_usage d using (usage_date, org_id) cross join losant_usage.metrics k
      left join (
        select t.at, c.usage_date, c.org_id, c.metric, sum(c.difference) as difference
        from ${INSTANTS} t cross join lateral losant_usage.changes_since(t.at) c group by 1, 2, 3, 4
      ) as c on (c.at, c.usage_date, c.org_id, c.metric) = (i.at, i.usage_date, i.org_id, k.metric)
      where coalesce((to_jsonb(i) ->> k.metric)::bigint, 0) + coalesce(c.difference, 0)
        <> coalesce((to_jsonb(d) ->> k.metric)::bigint, 0)`);
    expect(wrong).toEqual([]);
  });
});

test('no numbers are known at no instant', async () => {
  await ledger.expectDays({ from: '2026-11-18', to: '2026-11-18' }, ['device_counts']);
  const rows = sql`select (select count(*) from losant_usage.usage_as_of(null)) as numbers,
    (select count(*) from losant_usage.changes_since(null)) as changes, count(*) > 0 as has_days from losant_usage.daily_usage`;
  expect(await ledger.list(rows)).toEqual(['0 0 true']);
});

describe('a restatement', () => {
  beforeEach(async () => {
    await ledger.clear();
    await ledger.setTime(START);
  });

  /** Loads one verdict after another, and returns the restatements. */
  const restate = async (stream: string, ...verdicts: readonly Parameters<typeof cellResponse>[3][]) => {
    const orgId = await ledger.expectDays({ from: '2026-11-18', to: '2026-11-18' }, [stream]);
    for (const [index, verdict] of verdicts.entries()) {
      const sentAtMs = ledger.nowMs + index * 1_000;
      await ledger.load([{ ...cellResponse(orgId, stream, '2026-11-18', verdict), sentAtMs }]);
    }
    return await ledger.list(sql`
      select metric, payload_type, source, hour, old_quantity, new_quantity, difference, unit, revision, was_final
      from losant_usage.restatements where org_id = ${orgId}
      order by revision_id, metric, payload_type, source, hour`);
  };

  test('lists each number that changed, with old and new', async () => {
    const [first, next] = [report(devices(4, 1, 17)), report(devices(4, 2, 18))];
    const changes = ['devices_deleted - - - 1 2 1 devices 2 false', 'devices_total - - - 17 18 1 devices 2 false'];
    expect(await restate('device_counts', first, next, next)).toEqual(changes);
  });

  test('of sources lists added, removed and changed sources, not their sum', async () => {
    const first = split({ a: { b: 1, c: 2 }, removed: { d: 3 } });
    const next = split({ a: { b: 1, c: 5 }, added: { e: 6 } });
    expect(await restate('payload_sources', first, next)).toEqual([
      'payload_source_count a c - 2 5 3 payloads 2 false',
      'payload_source_count added e - - 6 6 payloads 2 false',
      'payload_source_count removed d - 3 - -3 payloads 2 false',
    ]);
  });

  test('of hours lists each hour, with metrics of its own', async () => {
    expect(await restate('payload_hours', report(hours(17, 21, 900)), report(hours(17, 22, 950)))).toEqual([
      'hours_all_bytes - - 5 900 950 50 bytes 2 false',
      'hours_all_count - - 5 21 22 1 payloads 2 false',
    ]);
  });

  test('of hours is not a change of the day’s numbers, so nothing counts twice', async () => {
    await restate('payload_hours', report(hours(17, 21, 900)), report(hours(17, 22, 950)));
    const changes = sql`select count(*) as n from losant_usage.changes_since('2026-01-01T00:00Z')`;
    expect(await ledger.list(changes)).toEqual(['0']);
  });

  test('of a final number is marked as one, in restatements and changes_since', async () => {
    await ledger.setTime('2026-11-23T06:00:00.000Z');
    await restate('device_counts', report(devices(4, 1, 17)), report(devices(5, 1, 17)));
    const rows = sql`select change, metric, old_quantity, new_quantity, was_final
      from losant_usage.changes_since('2026-11-23T00:00Z') where change = 'restated'`;
    expect(await ledger.list(rows)).toEqual(['restated devices_created 4 5 true']);
    const runs = sql`select distinct run_id from losant_usage.restatements`;
    expect(await ledger.list(runs)).toEqual([RUN_1]);
  });
});
