/** Queries for the whole story of one organization's day. */
import { gunzipSync } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/lease.ts';
import { readNumbers } from '../ledger/numbers.ts';
import type { UsageDay } from '../usage/day.ts';
import { HOURS, payloadHours } from '../usage/streams/payload-hours.ts';
import type { Stream } from '../usage/streams/stream.ts';

/** What the database knows of a cell. */
export type CellStory = Awaited<ReturnType<typeof readCellStories>>[number];

/** A row of the ledger. Its standing is there even of a cell that is not tracked. */
export type LedgerRow = NonNullable<CellStory['ledger']>;

export interface StoredValue {
  readonly key: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, number>>;
  readonly revision: number;
}

export interface Revision {
  readonly revision: number;
  readonly key: Readonly<Record<string, string>>;
  readonly old: Readonly<Record<string, number>> | null;
  readonly new: Readonly<Record<string, number>> | null;
  /** The run that made the change; null if it was made by hand. */
  readonly runId: string | null;
  readonly changedBy: string;
  readonly changedAt: Instant;
}

/** A waiver: in force until it was lifted, by the run that brought the number or by another waiver. */
export type Waiver = CellStory['waivers'][number];

/** An invalid answer. It is resolved since each of its days has had a good one, or for the day asked about. */
export type QuarantinedAnswer = CellStory['quarantine'][number];

export interface StoryQuery {
  readonly orgId: string;
  readonly day: UsageDay;
  /** The streams; null for all. */
  readonly streams: readonly string[] | null;
}

/** The cells of an organization and day. */
type DayCells = Pick<StoryQuery, 'orgId' | 'day'>;

/** `readCellStories` returns what the database knows of the cells of one organization and day. */
export async function readCellStories(db: Kysely<Schema>, wanted: readonly Stream[], cells: DayCells) {
  const standings = await db
    .selectFrom('cells')
    .select(['stream', 'standing'])
    .where('org_id', '=', cells.orgId)
    .where('usage_date', '=', cells.day)
    .execute();
  const ledger = await readLedgerRows(db, cells);
  const revisions = await readRevisions(db, cells);
  const waivers = await readWaivers(db, cells);
  const quarantine = await readQuarantine(db, cells);
  const stories = [];
  for (const stream of wanted) {
    const own = <Row extends { readonly stream: string }>(rows: readonly Row[]) =>
      rows.flatMap(({ stream: name, ...row }) => (name === stream.name ? row : []));
    const row = own(ledger)[0] ?? null;
    stories.push({
      stream: stream.name,
      /** Null if the cell is not tracked. */
      standing: own(standings)[0]?.standing ?? null,
      /** Null if the cell was never read. */
      ledger: row,
      values: await readValues(db, stream, cells, row?.revision),
      /** Every change after the first load, oldest first. */
      revisions: own(revisions),
      waivers: own(waivers),
      /** Newest first. */
      quarantine: own(quarantine),
    });
  }
  return stories;
}

async function readLedgerRows(db: Kysely<Schema>, { orgId, day }: DayCells) {
  const hosts = await readHostColumns(db);
  return await db
    .selectFrom('coverage as c')
    .leftJoin('runs as r', 'r.run_id', 'c.run_id')
    .select([
      'c.stream',
      'c.standing',
      'c.is_stored as isStored',
      'c.is_reported as isReported',
      'c.revision',
    ])
    .select(['c.verified_at as verifiedAt', 'c.attempted_at as attemptedAt', 'c.attempts'])
    .select(['c.next_read_at as nextReadAt', 'c.reason', 'c.message'])
    .select((eb) => eb.fn<string | null>('encode', ['c.response_sha256', eb.val('hex')]).as('responseSha256'))
    .select(['c.first_loaded_at as firstLoadedAt', 'c.finalized_at as finalizedAt', 'c.run_id as runId'])
    .select(['r.kind as runKind', hosts.run.as('runHost'), 'r.version as runVersion'])
    .where('c.usage_date', '=', day)
    .where('c.org_id', '=', orgId)
    .execute();
}

async function readValues(
  db: Kysely<Schema>,
  { name, columns, keyColumns }: Stream,
  { orgId, day }: DayCells,
  revision: number | undefined,
): Promise<StoredValue[]> {
  if (name === 'payload_sources') {
    const rows = await db
      .selectFrom('payload_sources')
      .select(['payload_type', 'source', 'count', 'revision'])
      .where('usage_date', '=', day)
      .where('org_id', '=', orgId)
      .orderBy('payload_type')
      .orderBy('source')
      .execute();
    return rows.map(({ count, revision: own, ...key }) => ({ key, values: { count }, revision: own }));
  }
  if (revision === undefined) return [];
  const cell = { orgId, day, stream: name };
  return (await readNumbers(db, [cell]))(cell).map(({ key, values }) => ({
    key: Object.fromEntries(keyColumns.map((column, at) => [column, key[at] as string])),
    values: Object.fromEntries(columns.map((column, at) => [column, values[at] as number])),
    revision,
  }));
}

async function readRevisions(
  db: Kysely<Schema>,
  { orgId, day }: DayCells,
): Promise<(Revision & { stream: string })[]> {
  const rows = await db
    .selectFrom('revisions')
    .select(['stream', 'revision', 'run_id as runId', 'changed_by as changedBy', 'changed_at as changedAt'])
    .select((eb) => [
      eb.ref('key').$castTo<Revision['key']>().as('key'),
      eb.ref('old').$castTo<Recorded>().as('old'),
      eb.ref('new').$castTo<Recorded>().as('new'),
    ])
    .where('org_id', '=', orgId)
    .where('usage_date', '=', day)
    .orderBy('id')
    .execute();
  return rows.flatMap(({ old: before, new: after, ...row }) => {
    if (row.stream !== payloadHours.name) return [{ ...row, old: numbersAt(before), new: numbersAt(after) }];
    const hours = HOURS.map((hour, at) => {
      return { ...row, key: { hour }, old: numbersAt(before, at), new: numbersAt(after, at) };
    });
    return hours.filter((change) => JSON.stringify(change.old) !== JSON.stringify(change.new));
  });
}

/** Numbers on record by column: of `payload_hours` an array by hour. */
type Recorded = Readonly<Record<string, number | readonly number[]>> | null;

function numbersAt(recorded: Recorded, hour = 0): Record<string, number> | null {
  if (recorded === null) return null;
  const numbers = Object.entries(recorded).map(([column, value]) =>
    typeof value === 'number' ? [column, value] : [column.replace(/counts$/, 'count'), value[hour]],
  );
  return Object.fromEntries(numbers) as Record<string, number>;
}

async function readWaivers(db: Kysely<Schema>, { orgId, day }: DayCells) {
  return await db
    .selectFrom('waivers')
    .select(['stream', 'reason', 'waived_by as waivedBy', 'waived_at as waivedAt'])
    .select(['lifted_at as liftedAt', 'lifted_by_run as liftedByRun'])
    .where('usage_date', '=', day)
    .where('org_id', '=', orgId)
    .orderBy('id')
    .execute();
}

async function readQuarantine(db: Kysely<Schema>, { orgId, day }: DayCells) {
  return await db
    .selectFrom('quarantine')
    .select(['stream', 'from_date as from', 'to_date as to', 'code', 'problem', 'times'])
    .select(['first_seen_at as firstSeenAt', 'last_seen_at as lastSeenAt', 'resolved_at as resolvedAt'])
    .select(sql<boolean>`resolved_at is not null or ${day}::date <@ resolved_days`.as('isResolved'))
    .where('org_id', '=', orgId)
    .where('from_date', '<=', day)
    .where('to_date', '>=', day)
    .orderBy('last_seen_at', 'desc')
    .orderBy('from_date')
    .execute();
}

/** An invalid answer as Losant sent it. */
export type QuarantinedBody = Awaited<ReturnType<typeof readQuarantinedBodies>>[number];

/** The most answers, and characters of each, that are returned at once. */
const ANSWERS_MAX = 8;
const BODY_CHARACTERS_MAX = 4_096;
/** The size above which no text is made of a body; a quarantined body has up to 256 Ki characters. */
const BYTES_MAX = 4 * 1024 * 1024;

/**
 * `readQuarantinedBodies` returns the invalid answers for a day, newest first; none to a role that may not
 * see them.
 */
export async function readQuarantinedBodies(db: Kysely<Schema>, { orgId, day, streams }: StoryQuery) {
  if (!(await maySeeBodies(db))) return [];
  let bodies = db
    .selectFrom('quarantine')
    .select(['stream', 'from_date as from', 'to_date as to'])
    .select(['body_gzip as gzip', 'body_truncated as isTruncated'])
    .where('org_id', '=', orgId)
    .where('from_date', '<=', day)
    .where('to_date', '>=', day)
    .orderBy('last_seen_at', 'desc')
    .orderBy('stream')
    .orderBy('from_date')
    .limit(ANSWERS_MAX);
  if (streams !== null) bodies = bodies.where('stream', 'in', streams);
  const rows = await bodies.execute();
  return rows.flatMap(({ gzip, isTruncated, ...where }) =>
    gzip === null ? [] : [{ ...where, ...beginningOf(gzip, isTruncated) }],
  );
}

/** Whether the connected user may see what was quarantined. */
export async function maySeeBodies(db: Kysely<Schema>): Promise<boolean> {
  const { rows } = await sql<{ isSeen: boolean }>`
    select has_column_privilege('losant_usage.quarantine', 'body_gzip', 'select') as "isSeen"`.execute(db);
  return rows[0]?.isSeen === true;
}

/** `beginningOf` returns the beginning of bodies as received, joined by line breaks, and whether they are longer. */
export function beginningOf(gzip: Uint8Array, isTruncated: boolean): { text: string; isCut: boolean } {
  const whole = gunzipSync(gzip, { maxOutputLength: BYTES_MAX }).toString('utf8');
  const text = whole.slice(0, BODY_CHARACTERS_MAX).toWellFormed();
  return { text, isCut: isTruncated || text.length < whole.length };
}
