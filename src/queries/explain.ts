/** Explains a day of an organization: where its numbers come from, how they changed, and what can be done. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showDays, showWhen } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay } from '../usage/policy.ts';
import { findWorstStanding, isSettled } from '../usage/standing.ts';

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
          const streamTracks = tracks.filter(isStreamRow);
          return {
            stream,
            /** Null if the cell is not expected. */
            standing: row?.standing ?? null,
            ledger: row,
            /** The spans of days that are expected, oldest first; `to` is null for one that continues. */
            tracks: streamTracks,
            numbers: numbers.filter(isStreamRow),
            /** Every change after the first load, oldest first. */
            changes: changes.filter(isStreamRow),
            waivers: waivers.filter(isStreamRow),
            quarantine: quarantine.filter(isStreamRow),
            advice: getAdvice(row, { ...cell, stream, org, tracks: streamTracks }),
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
    .innerJoin('instances as i', 'i.instance_id', 'o.instance_id')
    .select(['o.org_id as orgId', 'o.name as orgName', 'o.instance_id as instanceId'])
    .select(['o.created_on as createdOn', 'o.deleted_on as deletedOn'])
    .select((eb) => eb('i.retired_at', 'is not', null).$castTo<boolean>().as('isRetired'))
    .select(sql<number | null>`(i.policy ->> 'horizonDays')::integer`.as('horizonDays'))
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
  if (row === undefined) return null;
  const { horizonDays, ...org } = row;
  const isPastHorizon = horizonDays !== null && day < horizonStart(nowMs, { horizonDays });
  return { ...org, isOver: day <= lastEndedDay(nowMs), isPastHorizon };
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
      .select(['c.omissions', 'c.revision', 'c.last_read_at as lastReadAt', 'c.next_read_at as nextReadAt'])
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
      .orderBy('first_day')
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
      .select(['run_id as runId', 'changed_at as changedAt'])
      .where((eb) => eb.and({ usage_date: day, org_id: orgId }))
      .orderBy('revision_id')
      .orderBy('metric')
      .orderBy('hour')
      .execute(),
    waivers: await db
      .selectFrom('waivers')
      .select((eb) => ['stream', eb.ref('kind').$castTo<'person' | 'program'>().as('kind'), 'reason'])
      .select(['waived_by as waivedBy', 'waived_by_run as waivedByRun', 'waived_at as waivedAt'])
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
  readonly tracks: Facts['tracks'];
}

function getAdvice(ledger: LedgerRow | null, { orgId, day, stream, org, tracks, nowMs }: CellContext): Advice {
  const scope = `--org ${orgId} --stream ${stream}`;
  const backfillCommand = `losant-usage backfill --from ${day} --to ${day} ${scope}`;
  const waiveCommands = [{ when: 'to waive it', command: `losant-usage waive --day ${day} ${scope} --reason TEXT` }];
  const canBeRead = org.deletedOn === null && !org.isPastHorizon && !org.isRetired;
  const retryCommands = canBeRead ? [{ when: 'to retry now', command: `${backfillCommand} --force` }] : [];
  if (!org.isOver && tracks.some(({ to }) => to === null || to >= day)) {
    return { text: 'the day has not ended yet (UTC); it will be read afterward', commands: [] };
  }
  if (ledger === null) {
    const commands = canBeRead ? [{ when: 'to load it', command: backfillCommand }] : [];
    return adviseUnexpected({ day, org, tracks }, commands);
  }
  if (org.isRetired && !isSettled(ledger.standing) && ledger.standing !== 'unavailable') {
    return { text: 'not read again, because the instance is retired', commands: waiveCommands };
  }
  const next = org.isRetired ? null : describeNextRead(ledger, nowMs);
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
      return { text: next ?? 'no automatic retry', commands: [...retryCommands, ...waiveCommands] };
  }
}

/** The commands are those that load the cell; [] if it can no longer be read. */
function adviseUnexpected(
  { day, org, tracks }: Pick<CellContext, 'day' | 'org' | 'tracks'>,
  commands: Advice['commands'],
): Advice {
  if (tracks.length === 0)
    return { text: 'never tracked; LOSANT_ORG_IDS and STREAMS say what is tracked', commands: [] };
  const spans = tracks.map(({ from, to }) => (to === null ? `since ${from}` : showDays({ from, to })));
  const text = `outside the tracked days: ${spans.join(', ')}`;
  if (org.createdOn !== null && day < org.createdOn) {
    return { text: `${text}; the organization was created on ${org.createdOn}`, commands: [] };
  }
  if (!org.isOver) return { text, commands: [] };
  return { text: commands.length === 0 ? `${text}; no longer readable` : text, commands };
}

/** Describes when a cell is read next; null if no read is planned. */
function describeNextRead({ nextReadAt }: LedgerRow, nowMs: number): string | null {
  if (nextReadAt === null) return null;
  return Date.parse(nextReadAt) > nowMs ? `next read ${showWhen(nextReadAt, nowMs)}` : 'the next run reads it';
}
