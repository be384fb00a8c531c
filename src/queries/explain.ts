/** Explains a day of an organization: where its numbers come from, how they changed, and what can be done. */
import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { showDays, showWhen } from '../terminal/words.ts';
import { OMITTED } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay } from '../usage/policy.ts';
import { findWorstStanding } from '../usage/standing.ts';
import { getStream } from '../usage/streams/catalog.ts';

export type DayExplanation = NonNullable<Awaited<ReturnType<typeof explainDay>>>;
export type CellExplanation = DayExplanation['cells'][number];
export type LedgerRow = Facts['ledger'][number];

interface ExplainRequest {
  readonly orgId: string;
  readonly day: UsageDay;
  /** The streams; null for all. */
  readonly streams: readonly string[] | null;
  readonly nowMs: number;
}

/** Explains a day of an organization as of one instant. Returns null if the organization was never seen. */
export async function explainDay(db: Kysely<Schema>, { orgId, day, streams, nowMs }: ExplainRequest) {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const cell = { orgId, day, nowMs };
      const org = await readOrg(trx, cell);
      if (org === null) return null;
      const streamOrder = await trx.selectFrom('streams').select('stream').orderBy('position').execute();
      const { ledger, tracks, numbers, changes, waivers, quarantine } = await readFacts(trx, cell);
      const cells = streamOrder
        .filter(({ stream }) => streams === null || streams.includes(stream))
        .map(({ stream }) => {
          const isStreamRow = (row: { readonly stream: string }) => row.stream === stream;
          const row = ledger.find(isStreamRow) ?? null;
          const track = tracks.find(isStreamRow) ?? null;
          return {
            stream,
            /** Null if the cell is not expected. */
            standing: row?.standing ?? null,
            ledger: row,
            /** The days that are expected; null if the stream was never tracked, `to` is null if it still is. */
            track,
            numbers: numbers.filter(isStreamRow),
            /** Every change after the first load, oldest first. */
            changes: changes.filter(isStreamRow),
            waivers: waivers.filter(isStreamRow),
            quarantine: quarantine.filter(isStreamRow),
            advice: getAdvice(row, { ...cell, stream, org, track }),
          };
        });
      // The worst standing of the requested cells; null if none of them is expected.
      return { org, day, standing: findWorstStanding(cells.flatMap(({ standing }) => standing ?? [])), cells };
    });
}

type Cell = Omit<ExplainRequest, 'streams'>;

async function readOrg(db: Kysely<Schema>, { orgId, day, nowMs }: Cell) {
  const row = await db
    .selectFrom('organizations as o')
    .crossJoin('instance as i')
    .select(['o.org_id as orgId', 'o.name as orgName', 'o.created_on as createdOn', 'o.deleted_on as deletedOn'])
    .select(sql<number | null>`(i.policy ->> 'horizonDays')::integer`.as('horizonDays'))
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
  if (row === undefined) return null;
  const { horizonDays, ...org } = row;
  const isPastHorizon = horizonDays !== null && day < horizonStart(nowMs, { horizonDays });
  return { ...org, hasEnded: day <= lastEndedDay(nowMs), isPastHorizon };
}

type Facts = Awaited<ReturnType<typeof readFacts>>;

/** More are rare: a response equal to the last one is not stored again. */
const MAX_QUARANTINED = 8;

async function readFacts(db: Kysely<Schema>, { orgId, day }: Cell) {
  return {
    ledger: await db
      .selectFrom('cells as c')
      .leftJoin('runs as r', 'r.run_id', 'c.run_id')
      .select(['c.stream', 'c.standing', 'c.is_stored as isStored', 'c.is_reported as isReported'])
      .select(['c.revision', 'c.last_read_at as lastReadAt', 'c.next_read_at as nextReadAt'])
      .select(['c.failed_reads as failedReads', 'c.last_attempt_at as lastAttemptAt', 'c.reason', 'c.detail'])
      .select(['c.first_loaded_at as firstLoadedAt', 'c.finalized_at as finalizedAt'])
      .select((eb) => eb.fn<string | null>('encode', ['c.response_sha256', eb.val('hex')]).as('responseSha256'))
      .select(['c.run_id as runId', 'r.kind as runKind', 'r.version as runVersion'])
      .where((eb) => eb.and({ 'c.usage_date': day, 'c.org_id': orgId }))
      .execute(),
    tracks: await db
      .selectFrom('tracks')
      .select(['stream', 'first_day as from', 'last_day as to'])
      .where('org_id', '=', orgId)
      .execute(),
    numbers: await db
      .selectFrom('daily_usage_long as d')
      .innerJoin('metrics as m', 'm.metric', 'd.metric')
      .select(['d.stream', 'd.metric', 'd.quantity'])
      .where((eb) => eb.and({ 'd.usage_date': day, 'd.org_id': orgId }))
      .where('d.quantity', 'is not', null)
      .orderBy('m.position')
      .$narrowType<{ quantity: number }>()
      .execute(),
    changes: await db
      .selectFrom('restatements')
      .select(['stream', 'metric', 'payload_type as type', 'source', 'hour', 'unit', 'revision'])
      .select(['old_quantity as old', 'new_quantity as new', 'was_final as wasFinal'])
      // A change by a run has its ID; one by a person has a reason.
      .select(['run_id as runId', 'reason', 'changed_by as changedBy', 'changed_at as changedAt'])
      .where((eb) => eb.and({ usage_date: day, org_id: orgId }))
      .orderBy('revision_id')
      .orderBy('metric')
      .orderBy('hour')
      .$narrowType<{ changedAt: Instant }>()
      .execute(),
    waivers: await db
      .selectFrom('waivers')
      .select(['stream', 'reason', 'waived_by as waivedBy', 'waived_at as waivedAt'])
      .select(['lifted_at as liftedAt', 'lifted_by_run as liftedByRun'])
      .where((eb) => eb.and({ usage_date: day, org_id: orgId }))
      .orderBy('id')
      .execute(),
    // The invalid responses, newest first, without their bodies, which not every reader may see.
    quarantine: await db
      .selectFrom('quarantine')
      .select(['stream', 'first_day as from', 'last_day as to', 'reason', 'detail', 'seen_at as seenAt'])
      .where('org_id', '=', orgId)
      .where('first_day', '<=', day)
      .where('last_day', '>=', day)
      .orderBy('id', 'desc')
      .limit(MAX_QUARANTINED)
      .execute(),
  };
}

interface Advice {
  /** What happens without anybody's help. */
  readonly text: string;
  /** Commands that work as pasted, each with its purpose. */
  readonly commands: readonly { readonly when: string; readonly command: string }[];
}

interface CellContext extends Cell {
  readonly stream: string;
  readonly org: NonNullable<Awaited<ReturnType<typeof readOrg>>>;
  readonly track: Facts['tracks'][number] | null;
}

function getAdvice(ledger: LedgerRow | null, context: CellContext): Advice {
  const { orgId, day, stream, org, track, nowMs } = context;
  if (!org.hasEnded && track !== null && (track.to === null || track.to >= day)) {
    return { text: 'the day has not ended yet (UTC); it will be read afterward', commands: [] };
  }
  const scope = `--org ${orgId} --stream ${stream}`;
  const backfillCommand = `losant-usage backfill --from ${day} --to ${day} ${scope}`;
  const canBeRead = org.deletedOn === null && !org.isPastHorizon;
  if (ledger === null) {
    return adviseUnexpected(context, canBeRead ? [{ when: 'to load it', command: backfillCommand }] : []);
  }
  const waiveCommand = `losant-usage waive --day ${day} ${scope} --reason TEXT`;
  const waiveCommands = [{ when: 'to waive it', command: waiveCommand }];
  const zeroCommands = isOmittedFlow(ledger) ? [{ when: 'to make it zero', command: `${waiveCommand} --zero` }] : [];
  const retryCommands = canBeRead ? [{ when: 'to retry now', command: `${backfillCommand} --force` }] : [];
  const next = describeNextRead(ledger, nowMs);
  switch (ledger.standing) {
    case 'final':
    case 'stored':
    case 'waiting':
      if (ledger.failedReads === 0) return { text: next ?? 'nothing to do', commands: [] };
      return {
        text: `the last read failed; ${next ?? 'no further read is scheduled'}`,
        commands: [...retryCommands, ...(ledger.standing === 'stored' ? waiveCommands : [])],
      };
    case 'waived':
      return { text: 'nothing to do; a good read lifts the waiver', commands: [] };
    case 'unavailable':
      return { text: 'no longer readable', commands: waiveCommands };
    case 'in_doubt':
    case 'missing':
      return { text: next ?? 'no automatic retry', commands: [...retryCommands, ...waiveCommands, ...zeroCommands] };
  }
}

/** Returns whether Losant leaves out a stored flow, which a person may replace by zeros. */
function isOmittedFlow({ stream, standing, reason }: LedgerRow): boolean {
  return standing === 'in_doubt' && reason === OMITTED && getStream(stream).kind === 'flow';
}

/** The commands are those that load the cell; [] if it can no longer be read. */
function adviseUnexpected({ day, org, track }: CellContext, commands: Advice['commands']): Advice {
  if (track === null) return { text: 'never tracked; LOSANT_ORG_IDS and STREAMS say what is tracked', commands: [] };
  const { from, to } = track;
  const text = `outside the tracked days: ${to === null ? `since ${from}` : showDays({ from, to })}`;
  if (org.createdOn !== null && day < org.createdOn) {
    return { text: `${text}; the organization was created on ${org.createdOn}`, commands: [] };
  }
  if (!org.hasEnded) return { text, commands: [] };
  return { text: commands.length === 0 ? `${text}; no longer readable` : text, commands };
}

/** Describes when a cell is read next; null if no read is planned. */
function describeNextRead({ nextReadAt }: LedgerRow, nowMs: number): string | null {
  if (nextReadAt === null) return null;
  return Date.parse(nextReadAt) > nowMs ? `next read ${showWhen(nextReadAt, nowMs)}` : 'the next run reads it';
}
