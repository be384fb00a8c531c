/** A small random ledger as runs may have left it, in the database and as plain values. */
import { sql } from 'kysely';
import { addDays, eachDay, type UsageDay } from '../../src/usage/day.ts';
import type { Numbers } from '../../src/usage/numbers.ts';
import type { Standing } from '../../src/usage/standing.ts';
import { streamNamed, streamNames } from '../../src/usage/streams/catalog.ts';
import { INSTANCE, type Ledger } from '../ledger/ledger.ts';
import { POLICY } from '../usage/cells.ts';

/** Yesterday is not late yet. */
export const NOW = '2026-11-24T03:00:00.000Z';
export const YESTERDAY = '2026-11-23';
const LATE_BEFORE = '2026-11-23';
export const OTHER_INSTANCE = '5c00000000000000000000ff';

export interface WorldOrg {
  readonly orgId: string;
  readonly instanceId: string;
  readonly streams: readonly string[];
  readonly firstDay: UsageDay;
  readonly nextDay: UsageDay;
  readonly toDay: UsageDay | null;
  readonly createdOn: UsageDay | null;
  readonly removedOn: UsageDay | null;
}

const ALL = streamNames;
const START = '2026-09-20';
const TODAY = addDays(YESTERDAY, 1);

function org(last: string, changes: Partial<WorldOrg>): WorldOrg {
  return {
    orgId: `5d00000000000000000000${last}`,
    instanceId: INSTANCE,
    streams: ALL,
    firstDay: START,
    nextDay: TODAY,
    toDay: null,
    createdOn: '2024-01-01',
    removedOn: null,
    ...changes,
  };
}

export const ORGS: readonly WorldOrg[] = [
  org('a1', {}),
  org('a2', { firstDay: '2026-10-15', createdOn: '2026-10-15' }),
  org('a3', { nextDay: '2026-11-10', toDay: '2026-11-09', removedOn: '2026-11-10' }),
  // No run has made its last rows yet.
  org('a4', { nextDay: '2026-11-20' }),
  org('a5', { streams: ['device_counts'] }),
  org('a6', { instanceId: OTHER_INSTANCE, createdOn: null }),
];

/** A cell, as of now. */
export interface WorldCell {
  readonly orgId: string;
  readonly instanceId: string;
  readonly stream: string;
  readonly day: UsageDay;
  readonly standing: Standing;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly attempts: number;
  readonly numbers: Numbers | null;
}

export interface World {
  readonly cells: readonly WorldCell[];
  /** The cells of an organization and a range of days. */
  cellsOf(orgId: string, from: UsageDay, to: UsageDay): WorldCell[];
}

/** Returns numbers from 0 to below 1, the same ones each time. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function makeNumbers(stream: string, random: () => number): Numbers {
  const count = () => (random() < 0.2 ? 0 : Math.floor(random() * 1_000));
  const valueOf = (column: string) => {
    if (column.startsWith('hours_')) return Array.from({ length: 24 }, count);
    // A month of these is more than a double can count.
    return column === 'payload_all_bytes' ? 2 ** 52 + count() : count();
  };
  if (stream === 'payload_sources') {
    const types = {
      timer: { 'timer.flow': count() },
      deviceState: { 'device.mqtt': count(), __proto___: count() },
    };
    const sum = Object.values(types)
      .flatMap((each) => Object.values(each))
      .reduce((a, b) => a + b, 0);
    return { payload_source_count: sum, payload_sources: types };
  }
  return Object.fromEntries(streamNamed(stream).columns.map((column) => [column, valueOf(column)]));
}

const ODD = [
  ['waiting', false],
  ['in_doubt', true],
  ['missing', false],
  ['unavailable', true],
  ['unavailable', false],
] as const;

/** Returns a standing, and whether numbers are stored; most old cells are final. */
function standingOf(isOld: boolean, random: () => number): readonly [Standing, boolean] {
  const dice = random();
  if (dice < (isOld ? 0.97 : 0.6)) return ['final', true];
  if (dice < (isOld ? 0.98 : 0.7)) return ['stored', true];
  if (dice < 0.985) return ['accepted', random() < 0.5];
  return ODD[Math.floor(random() * ODD.length)] ?? ODD[0];
}

function makeCell(
  key: Pick<WorldCell, 'orgId' | 'instanceId' | 'stream' | 'day'>,
  random: () => number,
): WorldCell {
  const [standing, isStored] = standingOf(key.day < '2026-10-25', random);
  const isReported = isStored && random() < 0.95;
  const attempts = standing !== 'final' && random() < 0.3 ? 2 : 0;
  const numbers = isStored ? makeNumbers(key.stream, random) : null;
  return { ...key, standing, isStored, isReported, attempts, numbers };
}

/** What is waiting and late is missing. */
function asOfNow(standing: Standing, day: UsageDay): Standing {
  return standing === 'waiting' && day < LATE_BEFORE ? 'missing' : standing;
}

/** Fills the ledger, and returns what it has. */
export async function makeWorld(ledger: Ledger, seed: number): Promise<World> {
  const random = randomOf(seed);
  const filled = ORGS.flatMap(({ orgId, instanceId, streams, firstDay, nextDay }) =>
    eachDay({ from: firstDay, to: addDays(nextDay, -1) }).flatMap((day) =>
      streams.map((stream) => makeCell({ orgId, instanceId, stream, day }, random)),
    ),
  );
  await store(ledger, filled);
  const unfilled = ORGS.filter(({ toDay }) => toDay === null).flatMap(
    ({ orgId, instanceId, streams, nextDay }) =>
      eachDay({ from: nextDay, to: YESTERDAY }).flatMap((day) =>
        streams.map((stream): WorldCell => {
          const none = { isStored: false, isReported: false, attempts: 0, numbers: null };
          return { orgId, instanceId, stream, day, standing: 'waiting', ...none };
        }),
      ),
  );
  const cells = [...filled, ...unfilled].map((cell) => ({
    ...cell,
    standing: asOfNow(cell.standing, cell.day),
  }));
  const cellsOf = (orgId: string, from: UsageDay, to: UsageDay) =>
    cells.filter((cell) => cell.orgId === orgId && cell.day >= from && cell.day <= to);
  return { cells, cellsOf };
}

async function store(ledger: Ledger, cells: readonly WorldCell[]): Promise<void> {
  const limits = { payload: 10_000, device: 50, notebookMinutesPerMonth: -9.3e18, unknown: 7, text: 'x' };
  const orgs = ORGS.map(({ orgId, instanceId, createdOn, removedOn }) => ({
    org_id: orgId,
    instance_id: instanceId,
    name: `Acme ${orgId.slice(-2)}`,
    referral_id: 'C-1',
    limits,
    tags: [{ key: 'tier', value: 'gold' }],
    created_on: createdOn,
    removed_on: removedOn,
    first_seen_at: NOW,
    last_seen_at: NOW,
    unlisted_days: 0,
    current_period_start: '2026-10-10T00:00:00Z',
    current_period_end: '2026-11-10T00:00:00Z',
  }));
  const tracks = ORGS.flatMap(({ orgId, streams, firstDay, nextDay, toDay }) =>
    streams.map((stream) => ({
      org_id: orgId,
      stream,
      first_day: firstDay,
      next_day: nextDay,
      to_day: toDay,
    })),
  );
  const coverage = cells.map((cell) => ({
    usage_date: cell.day,
    org_id: cell.orgId,
    stream: cell.stream,
    standing: cell.standing,
    is_stored: cell.isStored,
    is_reported: cell.isReported,
    attempts: cell.attempts,
    silences: 0,
    revision: cell.isStored ? 1 : 0,
    verified_at: cell.isStored ? NOW : null,
    first_loaded_at: cell.isStored ? NOW : null,
    finalized_at: cell.standing === 'final' ? NOW : null,
    next_read_at: ['final', 'accepted', 'unavailable'].includes(cell.standing) ? null : NOW,
    reason: ['final', 'stored'].includes(cell.standing) ? null : `why_${cell.standing}`,
  }));
  const days = new Map<string, object>();
  for (const { day, orgId, numbers } of cells) {
    const row = days.get(day + orgId) ?? { usage_date: day, org_id: orgId };
    days.set(day + orgId, { ...row, ...numbers });
  }
  const insert = (table: string, rows: readonly object[]) => {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const names = sql.join(columns.map((column) => sql.ref(column)));
    const target = sql.table(`losant_usage.${table}`);
    return sql`insert into ${target} (${names}) select ${names}
      from jsonb_populate_recordset(null::${target}, ${JSON.stringify(rows)}::text::jsonb)`;
  };
  const policy = JSON.stringify(POLICY);
  await ledger.asProgram(
    sql`insert into losant_usage.instances (instance_id, api_url)
      values (${OTHER_INSTANCE}, 'https://api.example.com')`,
    sql`update losant_usage.instances set all_from = ${START}, policy = ${policy}::text::jsonb`,
    insert('organizations', orgs),
    insert('tracks', tracks),
    insert('coverage', coverage),
    insert('usage_days', [...days.values()]),
    sql`update losant_usage.coverage set attempts = attempts`,
  );
}
