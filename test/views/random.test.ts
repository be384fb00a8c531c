/** Days and months of random ledgers, held against the rules in plain words. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addDays, eachDay, type UsageDay } from '../../src/usage/day.ts';
import { type Ledger, openLedger, rowsOf } from '../database/ledger.ts';

let ledger: Ledger;
/** Today by the database; the ledgers lie in the 70 days before it. */
let today: UsageDay;

beforeAll(async () => {
  ledger = await openLedger('postgres');
  const [row] = await rowsOf(ledger.db, sql`select (now() at time zone 'UTC')::date as today`);
  today = (row as { today: string }).today;
});

afterAll(() => ledger.close());

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources'] as const;
type StreamName = (typeof STREAMS)[number];

/** One metric of each stream stands for all of them. */
const METRIC = {
  device_counts: 'devices_created',
  notebook_minutes: 'notebook_minutes',
  payload_sources: 'payload_source_count',
} as const satisfies Record<StreamName, string>;

const STATES = [
  'loaded',
  'final',
  'final',
  'final',
  'absent',
  'failed',
  'unavailable',
  'waived',
  'unread',
] as const;

interface Cell {
  readonly state: (typeof STATES)[number];
  readonly reported: boolean;
  /** A number that is held and was left out since, which somebody accepted. */
  readonly isWaived: boolean;
  readonly quantity: number;
}

/** Days ago, the first and the last of a range. */
const range = fc.tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 0, max: 40 }));

const org = fc.record({
  createdAgo: fc.option(fc.integer({ min: 1, max: 75 }), { freq: 2 }),
  removedAgo: fc.option(fc.integer({ min: 0, max: 60 }), { freq: 4 }),
  tracked: fc.record(
    Object.fromEntries(STREAMS.map((stream) => [stream, fc.array(range, { maxLength: 2 })])) as Record<
      StreamName,
      fc.Arbitrary<[number, number][]>
    >,
  ),
  isOngoing: fc.boolean(),
  cells: fc.dictionary(
    fc.tuple(fc.constantFrom(...STREAMS), fc.integer({ min: 1, max: 70 })).map((key) => key.join(' ')),
    fc.record<Cell>({
      state: fc.constantFrom(...STATES),
      reported: fc.boolean(),
      isWaived: fc.nat(4).map((n) => n === 0),
      quantity: fc.nat(9),
    }),
    { maxKeys: 60 },
  ),
  isWhollyRead: fc.boolean(),
});
type Org = typeof org extends fc.Arbitrary<infer T> ? T : never;

/** What is to be stored: the days that are tracked, and the cells that were read. */
interface Stored {
  readonly createdOn: UsageDay | null;
  readonly removedOn: UsageDay | null;
  readonly isTracked: (stream: StreamName, day: UsageDay) => boolean;
  readonly cells: ReadonlyMap<string, Cell>;
}

function lay({ createdAgo, removedAgo, tracked, isOngoing, cells, isWhollyRead }: Org): Stored & {
  readonly ranges: Readonly<Record<StreamName, string[]>>;
} {
  const ago = (days: number) => addDays(today, -days);
  const bounds = (stream: StreamName) =>
    tracked[stream].map(([from, length]) => [ago(from), addDays(ago(from), length)]);
  const last = isOngoing ? '2049-12-31' : null;
  const ranges = Object.fromEntries(
    STREAMS.map((stream) => [
      stream,
      bounds(stream).map(([from, to], index) => `[${from},${index === 0 && last ? '' : to}]`),
    ]),
  ) as Record<StreamName, string[]>;
  const createdOn = createdAgo === null ? null : ago(createdAgo);
  const removedOn = removedAgo === null ? null : ago(removedAgo);
  const isTracked = (stream: StreamName, day: UsageDay) =>
    day < today &&
    (createdOn === null || day >= createdOn) &&
    (removedOn === null || day <= removedOn) &&
    bounds(stream).some(
      ([from, to], index) => day >= (from as string) && day <= ((index === 0 && last) || (to as string)),
    );
  const read = new Map<string, Cell>();
  for (const stream of STREAMS) {
    for (const day of eachDay({ from: ago(70), to: ago(1) })) {
      if (isWhollyRead && isTracked(stream, day)) {
        read.set(`${stream} ${day}`, { standing: 'final', is_reported: true, isWaived: false, quantity: 1 });
      }
    }
  }
  for (const [key, cell] of Object.entries(cells)) {
    const [stream, days] = key.split(' ') as [StreamName, string];
    const id = `${stream} ${ago(Number(days))}`;
    if (cell.state === 'unread') read.delete(id);
    else read.set(id, cell);
  }
  return { createdOn, removedOn, isTracked, cells: read, ranges };
}

const HELD: readonly string[] = ['loaded', 'final'];
const isHeld = (cell: Cell | undefined): cell is Cell => cell !== undefined && HELD.includes(cell.state);

/** A waiver stands in for a number that is not final; a final one needs none. */
function isAccepted(cell: Cell): boolean {
  return cell.state !== 'final' && errorOf(cell) === 'waived';
}

/** The error code of a cell's row: what was waived has it beside its number. */
function errorOf({ state, isWaived }: Cell): string | null {
  if (!HELD.includes(state)) return state;
  return isWaived ? 'waived' : null;
}

async function store(stored: ReturnType<typeof lay>): Promise<string> {
  const orgId = await ledger.newOrg();
  await ledger.db.transaction().execute(async (trx) => {
    await sql`select set_config('losant_usage.program', 'first', true)`.execute(trx);
    await sql`update losant_usage.organizations set created_at = ${stored.createdOn && `${stored.createdOn}T08:00:00Z`},
      removed_at = ${stored.removedOn && `${stored.removedOn}T15:00:00Z`} where org_id = ${orgId}`.execute(
      trx,
    );
    for (const stream of STREAMS) {
      const days = stored.ranges[stream];
      if (days.length === 0) continue;
      await sql`insert into losant_usage.tracking (org_id, stream, tracked_days)
        values (${orgId}, ${stream}, ${`{${days.join(',')}}`}::text::datemultirange)`.execute(trx);
    }
    for (const [id, cell] of stored.cells) {
      const [stream, day] = id.split(' ') as [StreamName, string];
      await sql`insert into losant_usage.coverage
          (usage_date, stream, org_id, state, reported, revision, first_loaded_at, error_code)
        values (${day}, ${stream}, ${orgId}, ${cell.state}, ${cell.reported}, 1, now(), ${errorOf(cell)})`.execute(
        trx,
      );
      const numbers = isHeld(cell) ? cell.quantity : null;
      const columns = {
        device_counts: ['devices_created', 'devices_deleted', 'devices_total'],
        notebook_minutes: [
          ...[
            'notebook_minutes',
            'notebook_completed',
            'notebook_canceled',
            'notebook_errored',
            'notebook_timeout',
          ],
        ],
        payload_sources: ['payload_source_count'],
      }[stream];
      const names = columns.join(', ');
      const given = columns.map(() => (numbers === null ? 'null' : String(numbers))).join(', ');
      await sql
        .raw(`insert into losant_usage.usage_days (usage_date, org_id, ${names}) values ('${day}', '${orgId}', ${given})
          on conflict (usage_date, org_id) do update set (${names}) = row(${columns.map((name) => `excluded.${name}`).join(', ')})`)
        .execute(trx);
    }
  });
  return orgId;
}

function expectedDays({ isTracked, cells }: Stored): object[] {
  return eachDay({ from: addDays(today, -80), to: addDays(today, -1) }).flatMap((day) => {
    const expected = STREAMS.filter((stream) => isTracked(stream, day));
    if (expected.length === 0) return [];
    const held = expected.filter((stream) => isHeld(cells.get(`${stream} ${day}`)));
    const quantities = STREAMS.map((stream) => [
      METRIC[stream],
      held.includes(stream) ? (cells.get(`${stream} ${day}`) as Cell).quantity : null,
    ]);
    return [
      {
        usage_date: day,
        streams_expected: expected.length,
        streams_held: held.length,
        reported: held.length === 0 ? null : held.every((stream) => cells.get(`${stream} ${day}`)?.reported),
        is_final: expected.every((stream) => cells.get(`${stream} ${day}`)?.state === 'final'),
        ...Object.fromEntries(quantities),
      },
    ];
  });
}

function expectedMonths(stored: Stored): object[] {
  const days = eachDay({ from: addDays(today, -80), to: addDays(today, -1) });
  const months = [...Map.groupBy(days, (day) => day.slice(0, 7)).keys()];
  return months.flatMap((month) => {
    const inMonth = days.filter((day) => day.startsWith(month));
    return expectedMonth(month, inMonth, stored);
  });
}

function expectedMonth(
  month: string,
  days: readonly UsageDay[],
  { isTracked, cells, ...org }: Stored,
): object[] {
  const tracked = days.map((day) => ({ day, streams: STREAMS.filter((stream) => isTracked(stream, day)) }));
  const expected = tracked.filter(({ streams }) => streams.length > 0);
  const cellsOf = ({ day, streams }: { day: string; streams: readonly StreamName[] }) =>
    streams.map((stream) => cells.get(`${stream} ${day}`));
  const count = (test: (cells: readonly (Cell | undefined)[]) => boolean) =>
    expected.filter((day) => test(cellsOf(day))).length;
  const untracked = days.filter((day) =>
    STREAMS.some((stream) => !isTracked(stream, day) && isHeld(cells.get(`${stream} ${day}`))),
  ).length;
  if (expected.length + untracked === 0) return [];
  // The whole month, not only the part the ledger lies in.
  const lastDay = addDays(`${nextMonth(month)}-01`, -1);
  const existing = eachDay({ from: `${month}-01`, to: lastDay }).filter(
    (day) =>
      day < today &&
      (org.createdOn === null || day >= org.createdOn) &&
      (org.removedOn === null || day <= org.removedOn),
  );
  const isOver = today > lastDay;
  const isWhole =
    expected.length === existing.length &&
    expected.every(({ streams }) => streams.join() === expected[0]?.streams.join());
  const daysFinal = count((all) => all.every((cell) => cell?.state === 'final'));
  const daysBillable = count((all) =>
    all.every((cell) => cell !== undefined && (cell.state === 'final' || isAccepted(cell))),
  );
  const isBillable = isOver && isWhole && expected.length > 0;
  const sums = STREAMS.map((stream) => {
    const quantities = expected.flatMap(({ day, streams }) => {
      const cell = cells.get(`${stream} ${day}`);
      return streams.includes(stream) && isHeld(cell) ? [cell.quantity] : [];
    });
    return [METRIC[stream], quantities.length === 0 ? null : quantities.reduce((sum, one) => sum + one, 0)];
  });
  return [
    {
      month: `${month}-01`,
      days_expected: expected.length,
      days_held: count((all) => all.every(isHeld)),
      days_final: daysFinal,
      days_waived: count((all) => all.some((cell) => cell && isAccepted(cell))),
      days_unavailable: count((all) => all.some((cell) => cell?.state === 'unavailable')),
      days_unreported: count((all) => all.some((cell) => isHeld(cell) && !cell.reported)),
      days_untracked: untracked,
      is_over: isOver,
      is_whole: isWhole,
      is_final: isBillable && daysFinal === expected.length,
      is_billable: isBillable && daysBillable === expected.length,
      ...Object.fromEntries(sums),
    },
  ];
}

function nextMonth(month: string): string {
  return addDays(`${month}-28`, 4).slice(0, 7);
}

const NUMBERS = Object.values(METRIC).join(', ');

test('days and months of random ledgers are as the rules say', { timeout: 180_000 }, async () => {
  let whole = 0;
  await fc.assert(
    fc.asyncProperty(org, async (given) => {
      const stored = lay(given);
      if (STREAMS.every((stream) => stored.ranges[stream].length === 0)) return;
      const orgId = await store(stored);
      const days = sql.raw(`select usage_date, streams_expected, streams_held, reported, is_final, ${NUMBERS}
        from losant_usage.daily_usage where org_id = '${orgId}' and usage_date >= date '${today}' - 80 order by usage_date`);
      expect(await rowsOf(ledger.db, days)).toEqual(expectedDays(stored));
      const months =
        sql.raw(`select month, days_expected, days_held, days_final, days_waived, days_unavailable,
          days_unreported, days_untracked, is_over, is_whole, is_final, is_billable, ${NUMBERS}
        from losant_usage.monthly_usage where org_id = '${orgId}' order by month`);
      const found = await rowsOf(ledger.db, months);
      whole += found.filter((row) => 'is_whole' in row && row.is_whole).length;
      expect(found).toEqual(expectedMonths(stored));
    }),
    { numRuns: 80 },
  );
  expect(whole).toBeGreaterThan(10);
});
