/** What was known at a moment, and what changed since, along a random history of loads. */
import { sql } from 'kysely';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PayloadSources } from '../../src/usage/numbers.ts';
import { answer, type GivenAnswer, RUN_1, useLedger } from '../ledger/ledger.ts';
import { devices, failed, hours, minutes, named, silence, totals } from '../usage/cells.ts';
import { randomOf } from './world.ts';

const DAYS = ['2026-11-18', '2026-11-19'];
const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals', 'payload_hours'];
const ledger = useLedger('2026-11-20T06:00:00.000Z');

const split = (sources: PayloadSources) => {
  const count = Object.values(sources)
    .flatMap((each) => Object.values(each))
    .reduce((a, b) => a + b, 0);
  return named({ payload_source_count: count, payload_sources: sources });
};

describe('along a random history', () => {
  interface Moment {
    readonly at: string;
    readonly days: object[];
  }
  const moments: Moment[] = [];
  const metrics: string[] = [];

  beforeAll(async () => {
    await ledger.clear();
    await ledger.setTime('2026-11-20T06:00:00.000Z');
    const orgs = await Promise.all(
      [1, 2].map(() => ledger.want({ from: DAYS[0] ?? '', to: DAYS[1] ?? '' }, STREAMS)),
    );
    const random = randomOf(11);
    const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
    const count = () => Math.floor(random() * 4);
    const verdictOf = (stream: string) => {
      const dice = random();
      if (dice < 0.15) return silence;
      if (dice < 0.25) return failed;
      if (stream === 'device_counts') return named(devices(count(), count(), count()));
      if (stream === 'notebook_minutes') return named(minutes(count(), count()));
      if (stream === 'payload_totals') return named(totals(count(), count(), count()));
      if (stream === 'payload_hours') return named(hours(count(), count(), count()));
      return split({ [pick(['timer', '__proto__x', 'webhook'])]: { [pick(['a', 'b'])]: count() } });
    };
    const rows = await ledger.list(sql`select metric from losant_usage.metrics order by position`);
    metrics.push(...rows);
    for (let hour = 0; hour < 40; hour += 1) {
      const at = new Date(Date.parse('2026-11-20T06:00:00.000Z') + hour * 3 * 3_600_000).toISOString();
      await ledger.setTime(at);
      const answers = orgs.flatMap((orgId) =>
        DAYS.flatMap((day) =>
          STREAMS.flatMap((stream): GivenAnswer[] =>
            random() < 0.3 ? [answer(orgId, stream, day, verdictOf(stream))] : [],
          ),
        ),
      );
      await ledger.load(answers);
      moments.push({ at, days: await daysAt() });
    }
  });

  const numbersOf = (row: object) => {
    const known = row as Record<string, unknown>;
    return Object.fromEntries([...metrics, 'usage_date', 'org_id'].map((name) => [name, known[name]]));
  };
  const daysAt = async (moment?: string) => {
    const source =
      moment === undefined ? sql`losant_usage.daily_usage` : sql`losant_usage.usage_as_of(${moment})`;
    const rows = await ledger.ask(sql`select * from ${source} order by usage_date, org_id`);
    return rows.map(numbersOf);
  };

  // Promise (Changes): The numbers as they were known at any moment can be read.
  test('usage_as_of tells every moment as it was', async () => {
    for (const { at, days } of moments) expect([at, await daysAt(at)]).toEqual([at, days]);
  });

  test('usage_as_of calls nothing final that was not final yet', async () => {
    for (const { at } of moments) {
      const early = sql`select count(*) as n from losant_usage.usage_as_of(${at}) d join losant_usage.coverage c
        on c.usage_date = d.usage_date and c.org_id = d.org_id
        where d.is_final and (c.finalized_at is null or c.finalized_at > ${at})`;
      expect(await ledger.list(early)).toEqual(['0']);
    }
    const final = sql`select count(*) > 0 as has_final from losant_usage.usage_as_of(${moments.at(-1)?.at})
      where is_final`;
    expect(await ledger.list(final)).toEqual(['true']);
  });

  // Promise (Changes): The function changes_since leads from what was known then to what is known now.
  test('changes_since a moment lead from what was known then to what is known now', async () => {
    const now = await daysAt();
    for (const { at, days } of moments) {
      const changes =
        await ledger.ask(sql`select usage_date, org_id, metric, sum(difference)::integer as difference
        from losant_usage.changes_since(${at}) group by usage_date, org_id, metric`);
      const expected = now.flatMap((row, index) => {
        const before = days[index] as Record<string, string | number | null>;
        const after = row as Record<string, string | number | null>;
        return metrics.map((metric) => [
          `${after['usage_date']} ${after['org_id']} ${metric}`,
          Number(after[metric] ?? 0) - Number(before[metric] ?? 0),
        ]);
      });
      const told = new Map(
        (changes as Record<string, string | number>[]).map((row) => [
          `${row['usage_date']} ${row['org_id']} ${row['metric']}`,
          row['difference'],
        ]),
      );
      for (const [key, difference] of expected)
        expect([at, key, told.get(key as string) ?? 0]).toEqual([at, key, difference]);
    }
  });
});

describe('a restatement', () => {
  beforeEach(async () => {
    await ledger.clear();
    await ledger.setTime('2026-11-20T06:00:00.000Z');
  });

  const restate = async (stream: string, ...verdicts: readonly Parameters<typeof answer>[3][]) => {
    const orgId = await ledger.want({ from: '2026-11-18', to: '2026-11-18' }, [stream]);
    for (const [index, verdict] of verdicts.entries()) {
      await ledger.load([
        { ...answer(orgId, stream, '2026-11-18', verdict), sentAtMs: ledger.nowMs + index * 1_000 },
      ]);
    }
    return await ledger.list(sql`select metric, payload_type, source, hour, old_quantity, new_quantity, difference,
      unit,
        revision, was_final from losant_usage.restatements where org_id = ${orgId}
        order by revision_id, metric, payload_type, source, hour`);
  };

  test('names each number that changed, with old and new', async () => {
    expect(
      await restate(
        'device_counts',
        named(devices(4, 1, 17)),
        named(devices(4, 2, 18)),
        named(devices(4, 2, 18)),
      ),
    ).toEqual(['devices_deleted - - - 1 2 1 devices 2 false', 'devices_total - - - 17 18 1 devices 2 false']);
  });

  test('of sources names those that came, went and changed, and not their sum', async () => {
    expect(
      await restate(
        'payload_sources',
        split({ a: { b: 1, c: 2 }, gone: { d: 3 } }),
        split({ a: { b: 1, c: 5 }, come: { e: 6 } }),
      ),
    ).toEqual([
      'payload_source_count a c - 2 5 3 payloads 2 false',
      'payload_source_count come e - - 6 6 payloads 2 false',
      'payload_source_count gone d - 3 - -3 payloads 2 false',
    ]);
  });

  test('of hours names each hour, under names of their own', async () => {
    expect(await restate('payload_hours', named(hours(17, 21, 900)), named(hours(17, 22, 950)))).toEqual([
      'hours_all_bytes - - 5 900 950 50 bytes 2 false',
      'hours_all_count - - 5 21 22 1 payloads 2 false',
    ]);
  });

  test('of hours is no change of the day’s numbers, so that nothing counts twice', async () => {
    await restate('payload_hours', named(hours(17, 21, 900)), named(hours(17, 22, 950)));
    const changes = sql`select count(*) as n from losant_usage.changes_since('2026-01-01')`;
    expect(await ledger.list(changes)).toEqual(['0']);
  });

  test('of a final number says so, in both views', async () => {
    await ledger.setTime('2026-11-23T06:00:00.000Z');
    await restate('device_counts', named(devices(4, 1, 17)), named(devices(5, 1, 17)));
    const rows = sql`select change, metric, old_quantity, new_quantity, was_final
      from losant_usage.changes_since('2026-11-23')
      where change = 'restated'`;
    expect(await ledger.list(rows)).toEqual(['restated devices_created 4 5 true']);
    const runs = sql`select distinct run_id from losant_usage.restatements`;
    expect(await ledger.list(runs)).toEqual([RUN_1]);
  });
});
