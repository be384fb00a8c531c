/** What was stored at a moment is what usage_as_of gives, and changes_since leads from there to now. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { answer, failed, missing, row, values } from '../database/answers.ts';
import { RUN_1, useLedger } from '../database/ledger.ts';
import { trackedOrg } from './loads.ts';

const DAYS = ['2026-10-01', '2026-10-02'] as const;

const ledger = useLedger();

/** Something that happens to one day of an organization. */
interface Step {
  readonly day: string;
  readonly kind: 'load' | 'hand';
  /** Which stream is loaded, or which statement is run by hand. */
  readonly what: number;
  readonly numbers: readonly number[];
}

const steps = fc.array(
  fc.record<Step>({
    day: fc.constantFrom(...DAYS),
    kind: fc.constantFrom('load', 'load', 'hand'),
    what: fc.nat(15),
    numbers: fc.array(fc.nat(9), { minLength: 3, maxLength: 3 }),
  }),
  { minLength: 3, maxLength: 14 },
);

function outcomeOf({ what, numbers }: Step): Pick<CellAnswer, 'stream' | 'outcome'> {
  const stream = ['device_counts', 'payload_totals', 'payload_sources'][what % 3] as string;
  const of = (outcome: CellOutcome) => ({ stream, outcome });
  if (what > 13) return of(missing);
  if (what > 12) return of(failed);
  if (stream !== 'payload_sources') return of(values(row(...numbers)));
  // Between none and three sources, of four names.
  const facts = numbers.slice(0, what % 4).map((count, index) => ({
    key: ['timer', `source.${(index + (numbers[2] as number)) % 4}`],
    values: [count],
  }));
  return of(values(...facts));
}

const BY_HAND = [
  `update losant_usage.usage_days set devices_total = $n where $key and devices_total is not null`,
  `delete from losant_usage.usage_days where $key`,
  `delete from losant_usage.payload_sources where $key`,
  `delete from losant_usage.payload_sources where $key and source = 'source.1'`,
  `update losant_usage.payload_sources set source = 'renamed.$n' where $key and source = 'source.0'`,
  `update losant_usage.payload_sources set count = $n where $key`,
  `insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
   select usage_date, org_id, 'hand', 'made.up', $n from losant_usage.usage_days where $key on conflict do nothing`,
  `update losant_usage.usage_days set payload_all_count = null, payload_billable_count = null, payload_all_bytes = null
   where $key`,
] as const;

async function take(orgId: string, step: Step, place: number): Promise<void> {
  if (step.kind === 'load') {
    const { stream, outcome } = outcomeOf(step);
    // Later answers are newer, so that each is accepted.
    const sentAtMs = Date.parse('2026-11-22T12:00:00.000Z') + place * 60_000;
    await ledger.load([answer(outcome, { orgId, day: step.day, stream, sentAtMs })], RUN_1);
    return;
  }
  const statement = BY_HAND[step.what % BY_HAND.length] as string;
  const key = `org_id = '${orgId}' and usage_date = '${step.day}'`;
  const number = String(step.numbers[0]);
  await sql.raw(statement.replaceAll('$key', key).replaceAll('$n', number)).execute(ledger.db);
}

const METRICS = `devices_created, devices_deleted, devices_total, payload_billable_count, payload_all_count,
  payload_all_bytes, payload_source_count`;

async function snapshot(orgId: string): Promise<{ moment: string; rows: object[] }> {
  const [clock] = await ledger.ask(sql`select clock_timestamp()::text as moment`);
  const stored = sql.raw(`select usage_date, ${METRICS} from losant_usage.usage_days
    where org_id = '${orgId}' and num_nonnulls(${METRICS}) > 0 order by usage_date`);
  return { moment: (clock as { moment: string }).moment, rows: await ledger.ask(stored) };
}

/** What usage_as_of gives of each of the moments. */
async function asOf(orgId: string, moments: readonly string[]): Promise<object[][]> {
  const known = sql<{ place: number }>`
    select place, usage_date, ${sql.raw(METRICS)}
    from unnest(${moments}::timestamptz[]) with ordinality as m (moment, place), losant_usage.usage_as_of(m.moment)
    where org_id = ${orgId} order by usage_date`;
  const { rows } = await known.execute(ledger.db);
  return moments.map((_, index) =>
    rows.filter(({ place }) => place === index + 1).map(({ place: _place, ...numbers }) => numbers),
  );
}

interface Change {
  readonly usage_date: string;
  readonly metric: string;
  readonly change: 'first_loaded' | 'restated';
  readonly old_quantity: number | null;
  readonly new_quantity: number | null;
  readonly difference: number;
}

async function changesSince(orgId: string, moment: string): Promise<Change[]> {
  const changes = sql.raw(`select usage_date, metric, change, old_quantity, new_quantity, difference
    from losant_usage.changes_since('${moment}') where org_id = '${orgId}' order by changed_at`);
  return (await ledger.ask(changes)) as Change[];
}

type Numbers = Readonly<Record<string, number | null>>;

/** Whether the changes of one number lead from what it was to what it is. */
function requireChanges(
  changes: readonly Change[],
  was: number | null,
  is: number | null,
  isSum: boolean,
): void {
  const first = changes.find(({ change }) => change === 'first_loaded');
  const restated = changes.filter(({ change }) => change === 'restated');
  if (first) {
    expect(was).toBeNull();
    expect(first.new_quantity).toBe(is);
  } else if (isSum) {
    const difference = restated.reduce((sum, each) => sum + each.difference, 0);
    expect((was ?? 0) + difference).toBe(is ?? 0);
  } else {
    expect(restated.length === 0 ? was : restated[0]?.old_quantity).toBe(was);
    expect(restated.length === 0 ? was : restated.at(-1)?.new_quantity).toBe(is);
  }
}

async function requireChangesSince(orgId: string, moment: string, days: readonly object[]): Promise<void> {
  const changes = await changesSince(orgId, moment);
  const now = (await snapshot(orgId)).rows;
  for (const day of DAYS) {
    const numbersOf = (rows: readonly object[]): Numbers =>
      (rows.find((row) => 'usage_date' in row && row.usage_date === day) ?? {}) as Numbers;
    for (const metric of METRICS.split(/,\s+/)) {
      const of = changes.filter((each) => each.usage_date === day && each.metric === metric);
      const isSum = metric === 'payload_source_count';
      requireChanges(of, numbersOf(days)[metric] ?? null, numbersOf(now)[metric] ?? null, isSum);
    }
  }
}

/** A day whose numbers, and then its row, are removed by hand: it was first loaded all the same. */
const REMOVED: Step[] = [
  { day: DAYS[1], kind: 'load', what: 4, numbers: [0, 0, 0] },
  { day: DAYS[1], kind: 'hand', what: 15, numbers: [0, 0, 0] },
  { day: DAYS[1], kind: 'hand', what: 1, numbers: [0, 0, 0] },
];

test('usage_as_of and changes_since tell every moment of random histories as it was', {
  timeout: 120_000,
}, async () => {
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const streams = ['device_counts', 'payload_totals', 'payload_sources'];
      const orgId = await trackedOrg(ledger, streams, { from: DAYS[0], to: DAYS[1] });
      const moments = [await snapshot(orgId)];
      for (const [place, step] of history.entries()) {
        await take(orgId, step, place);
        moments.push(await snapshot(orgId));
      }
      seen += moments.flatMap(({ rows }) => rows).length;
      const known = await asOf(
        orgId,
        moments.map(({ moment }) => moment),
      );
      expect(known).toEqual(moments.map(({ rows }) => rows));
      for (const [place, { moment, rows }] of moments.entries()) {
        if (place % 4 === 0) await requireChangesSince(orgId, moment, rows);
      }
    }),
    { numRuns: 60, examples: [[REMOVED]] },
  );
  expect(seen).toBeGreaterThan(200);
});

test('a day that was emptied by hand and is read again as empty was not stored in between', async () => {
  const orgId = await trackedOrg(ledger, ['payload_sources'], { from: DAYS[0], to: DAYS[0] });
  const load1 = { kind: 'load', day: DAYS[0], what: 5, numbers: [4, 0, 0] } as const;
  await take(orgId, load1, 0);
  await ledger.ask(sql`delete from losant_usage.payload_sources where org_id = ${orgId}`);
  const between = await snapshot(orgId);
  const empty = answer(values(), {
    orgId,
    day: DAYS[0],
    stream: 'payload_sources',
    sentAtMs: Date.parse('2026-11-23T12:00:00.000Z'),
  });
  await ledger.load([empty]);
  const now = await snapshot(orgId);
  expect(await asOf(orgId, [between.moment, now.moment])).toMatchObject([[], [{ payload_source_count: 0 }]]);
});
