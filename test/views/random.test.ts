/** Days and months of random ledgers, held against the rules in plain words. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { addDays, eachDay, type UsageDay } from '../../src/usage/day.ts';
import { addCells, addTracking, asProgram, useLedger } from '../database/ledger.ts';

const ledger = useLedger();
/** Today by the database; the ledgers lie in the 70 days before it. */
let today: UsageDay;

beforeAll(async () => {
  const [row] = await ledger.ask(sql`select (now() at time zone 'UTC')::date as today`);
  today = (row as { today: string }).today;
});

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources'] as const;
type StreamName = (typeof STREAMS)[number];

/** One metric of each stream stands for all of them. */
const METRIC = {
  device_counts: 'devices_created',
  notebook_minutes: 'notebook_minutes',
  payload_sources: 'payload_source_count',
} as const satisfies Record<StreamName, string>;

const COLUMNS: Readonly<Record<StreamName, readonly string[]>> = {
  device_counts: ['devices_created', 'devices_deleted', 'devices_total'],
  notebook_minutes: ['minutes', 'completed', 'canceled', 'errored', 'timeout'].map(
    (name) => `notebook_${name}`,
  ),
  payload_sources: ['payload_source_count'],
};

const STANDINGS = [
  'stored',
  'in_doubt',
  'final',
  'final',
  'final',
  'missing',
  'unavailable',
  'accepted',
  'unread',
] as const;

interface Cell {
  readonly standing: (typeof STANDINGS)[number];
  readonly isReported: boolean;
  /** Whether one that somebody accepted has a number. */
  readonly isKept: boolean;
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
      standing: fc.constantFrom(...STANDINGS),
      isReported: fc.boolean(),
      isKept: fc.boolean(),
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
        read.set(`${stream} ${day}`, { standing: 'final', isReported: true, isKept: false, quantity: 1 });
      }
    }
  }
  for (const [key, cell] of Object.entries(cells)) {
    const [stream, days] = key.split(' ') as [StreamName, string];
    const id = `${stream} ${ago(Number(days))}`;
    if (cell.standing === 'unread') read.delete(id);
    else read.set(id, cell);
  }
  return { createdOn, removedOn, isTracked, cells: read, ranges };
}

function isStored(cell: Cell | undefined): cell is Cell {
  if (cell?.standing === 'accepted') return cell.isKept;
  return cell !== undefined && ['final', 'stored', 'in_doubt'].includes(cell.standing);
}

async function store(stored: ReturnType<typeof lay>): Promise<string> {
  const orgId = await ledger.newOrg();
  await asProgram(ledger.db, async (trx) => {
    await trx
      .updateTable('organizations')
      .set({ created_on: stored.createdOn, removed_at: stored.removedOn && `${stored.removedOn}T15:00:00Z` })
      .where('org_id', '=', orgId)
      .execute();
    for (const stream of STREAMS) {
      const days = stored.ranges[stream];
      if (days.length > 0) await addTracking(trx, orgId, { streams: [stream], days: `{${days.join(',')}}` });
    }
    const cells = [...stored.cells].flatMap(([id, cell]) => {
      const [stream, day] = id.split(' ') as [StreamName, string];
      const { standing, isReported } = cell;
      if (standing === 'unread') return [];
      // What is stored was read: numbers typed in are no zeros that Losant left out.
      const verifiedAt = isStored(cell) ? `${day}T23:59:59Z` : null;
      return [{ day, stream, standing, isReported, verifiedAt, isStored: isStored(cell) }];
    });
    if (cells.length === 0) return;
    await addCells(trx, orgId, cells);
    const rows = [...new Set(cells.map(({ day }) => day))].map((day) => {
      const numbers = STREAMS.flatMap((stream) => {
        const cell = stored.cells.get(`${stream} ${day}`);
        return COLUMNS[stream].map(() => (isStored(cell) ? String(cell.quantity) : 'null'));
      });
      return `('${day}', '${orgId}', ${numbers.join(', ')})`;
    });
    const names = STREAMS.flatMap((stream) => COLUMNS[stream]).join(', ');
    await sql
      .raw(`insert into losant_usage.usage_days (usage_date, org_id, ${names}) values ${rows.join(', ')}
        on conflict (usage_date, org_id) do update set (${names}) = row(excluded.${names.replaceAll(', ', ', excluded.')})`)
      .execute(trx);
  });
  return orgId;
}

function expectedDays({ isTracked, cells }: Stored): object[] {
  return eachDay({ from: addDays(today, -80), to: addDays(today, -1) }).flatMap((day) => {
    const expected = STREAMS.filter((stream) => isTracked(stream, day));
    if (expected.length === 0) return [];
    const found = expected.filter((stream) => isStored(cells.get(`${stream} ${day}`)));
    const quantities = STREAMS.map((stream) => [
      METRIC[stream],
      found.includes(stream) ? (cells.get(`${stream} ${day}`) as Cell).quantity : null,
    ]);
    return [
      {
        usage_date: day,
        streams_expected: expected.length,
        streams_stored: found.length,
        is_reported:
          found.length === 0 ? null : found.every((stream) => cells.get(`${stream} ${day}`)?.isReported),
        is_final: expected.every((stream) => cells.get(`${stream} ${day}`)?.standing === 'final'),
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
    STREAMS.some((stream) => !isTracked(stream, day) && isStored(cells.get(`${stream} ${day}`))),
  ).length;
  if (expected.length === 0) return [];
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
  const daysFinal = count((all) => all.every((cell) => cell?.standing === 'final'));
  const daysBillable = count((all) =>
    all.every((cell) => cell !== undefined && (cell.standing === 'final' || cell.standing === 'accepted')),
  );
  const isBillable = isOver && isWhole;
  const sums = STREAMS.map((stream) => {
    const quantities = expected.flatMap(({ day, streams }) => {
      const cell = cells.get(`${stream} ${day}`);
      return streams.includes(stream) && isStored(cell) ? [cell.quantity] : [];
    });
    return [METRIC[stream], quantities.length === 0 ? null : quantities.reduce((sum, one) => sum + one, 0)];
  });
  return [
    {
      month: `${month}-01`,
      days_expected: expected.length,
      days_stored: count((all) => all.every(isStored)),
      days_final: daysFinal,
      days_accepted: count((all) => all.some((cell) => cell && cell.standing === 'accepted')),
      days_unavailable: count((all) => all.some((cell) => cell?.standing === 'unavailable')),
      days_unreported: count((all) => all.some((cell) => isStored(cell) && !cell.isReported)),
      days_untracked: untracked,
      is_over: isOver,
      is_fully_tracked: isWhole,
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
      const days =
        sql.raw(`select usage_date, streams_expected, streams_stored, is_reported, is_final, ${NUMBERS}
        from losant_usage.daily_usage where org_id = '${orgId}' and usage_date >= date '${today}' - 80 order by usage_date`);
      expect(await ledger.ask(days)).toEqual(expectedDays(stored));
      const months =
        sql.raw(`select month, days_expected, days_stored, days_final, days_accepted, days_unavailable,
          days_unreported, days_untracked, is_over, is_fully_tracked, is_final, is_billable, ${NUMBERS}
        from losant_usage.monthly_usage where org_id = '${orgId}' order by month`);
      const found = await ledger.ask(months);
      whole += found.filter((row) => 'is_fully_tracked' in row && row.is_fully_tracked).length;
      expect(found).toEqual(expectedMonths(stored));
    }),
    { numRuns: 80 },
  );
  expect(whole).toBeGreaterThan(10);
});
