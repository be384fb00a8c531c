/** The story of a day's cells in words, with what can be done: the same in a terminal and on a page. */
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count, showInstant, showNumber, showWhen } from '../terminal/words.ts';
import { dayEndMs, type UsageDay } from '../usage/day.ts';
import { horizonStart, type Policy } from '../usage/policy.ts';
import { isGap, STANDINGS, worstStanding } from '../usage/standing.ts';
import { streams } from '../usage/streams/catalog.ts';
import {
  type CellStory,
  type LedgerRow,
  type QuarantinedAnswer,
  type Revision,
  readCellStories,
  type StoryQuery,
  type Waiver,
} from './explain.ts';

export type DayStory = NonNullable<Awaited<ReturnType<typeof readDayStory>>>;

/** The facts that advice depends on besides the cell itself. */
export interface CellPlace {
  readonly orgId: string;
  readonly day: UsageDay;
  /** Whether the day has ended in UTC. */
  readonly isOver: boolean;
  /** Whether Losant no longer has the organization. */
  readonly isRemoved: boolean;
  /** Whether Losant should no longer keep the day. */
  readonly isPastHorizon: boolean;
  readonly nowMs: number;
}

/**
 * `readDayStory` reads, as of one moment, where the numbers of an organization's day come from and what became of
 * them; null if the organization was never seen.
 */
export async function readDayStory(
  db: Kysely<Schema>,
  { orgId, day, streams: wanted }: StoryQuery,
  { nowMs, policy }: { readonly nowMs: number; readonly policy: Policy },
) {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const org = await trx
        .selectFrom('organizations')
        .select([
          'org_id as orgId',
          'name as orgName',
          'instance_id as instanceId',
          'removed_at as removedAt',
        ])
        .where('org_id', '=', orgId)
        .executeTakeFirst();
      if (org === undefined) return null;
      const place: CellPlace = {
        ...{ orgId, day, nowMs, isOver: dayEndMs(day) <= nowMs, isRemoved: org.removedAt !== null },
        isPastHorizon: day < horizonStart(nowMs, policy),
      };
      const chosen = streams.filter(({ name }) => wanted === null || wanted.includes(name));
      const stories = await readCellStories(trx, chosen, { orgId, day });
      return {
        org,
        /** The standing of the worst tracked cell asked for; null if none is tracked. */
        standing: worstStanding(stories.flatMap(({ standing }) => standing ?? [])),
        cells: stories.map((story) => ({ ...story, advice: adviseCell(story, place) })),
        /** The facts that the advice for each cell depends on. */
        place,
      };
    });
}

/** Advice is what the operator can do about a cell, limited to what can work. */
export interface Advice {
  /** The part that happens by itself. */
  readonly text: string;
  readonly commands: readonly AdvisedCommand[];
}

export interface AdvisedCommand {
  /** The time to run it, e.g. `at once`. */
  readonly when: string;
  readonly command: string;
}

/** `showAdvice` puts advice into one sentence. */
export function showAdvice({ text, commands }: Advice): string {
  return [text, ...commands.map(({ when, command }) => `${when}: ${command}`)].join('; ');
}

export function adviseCell(cell: CellStory, place: CellPlace): Advice {
  const { standing, ledger } = cell;
  if (!place.isOver) return advise('the day is not over in UTC: it is read afterwards');
  switch (standing ?? (ledger?.isStored ? ledger.standing : null)) {
    case null:
      return adviseUntracked(cell, place);
    case 'accepted':
      return advise('nothing to do; a good read lifts the waiver');
    case 'unavailable':
      return advise('nothing can be read any more', {
        when: 'to accept it',
        command: waiveCommand(cell, place),
      });
    case 'final':
    case 'stored':
      return adviseStored(cell, place);
    case 'waiting':
      return advise(describeNext(ledger, place));
    case 'in_doubt':
      return adviseGap(cell, place, [
        { when: 'to accept it as it stands', command: waiveCommand(cell, place) },
        ...(ledger?.reason === 'left_out'
          ? [{ when: 'to store zeros in its place', command: `${waiveCommand(cell, place)} --as-zero` }]
          : []),
      ]);
    case 'missing':
      return adviseGap(cell, place, [{ when: 'if it will not come', command: waiveCommand(cell, place) }]);
  }
}

function advise(text: string, ...commands: AdvisedCommand[]): Advice {
  return { text, commands };
}

function adviseUntracked(cell: CellStory, place: CellPlace): Advice {
  if (cell.ledger?.standing === 'unavailable') return advise('nothing can be read any more');
  if (place.isRemoved) return advise('the organization was deleted in Losant, and the number is not tracked');
  return advise('the number is not tracked', { when: 'to read it', command: backfillCommand(cell, place) });
}

function adviseStored(cell: CellStory, place: CellPlace): Advice {
  const { ledger } = cell;
  const again = ledger === null ? null : readAgainAt(ledger, place);
  if (ledger === null || (ledger.attempts === 0 && ledger.reason === null)) {
    return advise(again === null ? 'nothing to do' : `nothing to do; it is read again ${again}`);
  }
  const next = again === null ? 'the next run tries again' : `tried again ${again}`;
  const text = `the number is stored, but its newest read failed: ${next}`;
  return advise(text, { when: 'at once', command: backfillCommand(cell, place) });
}

function adviseGap(cell: CellStory, place: CellPlace, waive: readonly AdvisedCommand[]): Advice {
  if (place.isRemoved) {
    const text = 'the organization was deleted in Losant: the next run marks what is missing unavailable';
    return cell.ledger?.isStored ? advise('nothing can be read any more', ...waive) : advise(text);
  }
  const backfill = { when: 'at once', command: backfillCommand(cell, place) };
  return advise(describeNext(cell.ledger, place), backfill, ...waive);
}

function describeNext(ledger: LedgerRow | null, place: CellPlace): string {
  const at = ledger === null ? null : readAgainAt(ledger, place);
  return at === null ? 'read by the next run' : `tried again ${at}`;
}

export function rereadCommand(
  { stream, ledger }: CellStory,
  { orgId, day, isOver, isRemoved, isPastHorizon }: CellPlace,
): string | null {
  if (!ledger?.isStored || !isOver || isRemoved || isPastHorizon) return null;
  return `losant-usage run --date ${day} --org ${orgId} --stream ${stream}`;
}

export function explainCommand({ stream }: CellStory, { orgId, day }: CellPlace): string {
  return `losant-usage explain --org ${orgId} --day ${day} --stream ${stream}`;
}

/** `readAgainAt` returns the time of the next read; null if it is already due or never comes. */
function readAgainAt({ nextReadAt }: LedgerRow, { nowMs }: CellPlace): string | null {
  return nextReadAt !== null && Date.parse(nextReadAt) > nowMs ? showWhen(nextReadAt, nowMs) : null;
}

function backfillCommand({ stream }: CellStory, { orgId, day, isPastHorizon }: CellPlace): string {
  const range = `--from ${day} --to ${day} --org ${orgId} --stream ${stream}`;
  return `losant-usage backfill ${range}${isPastHorizon ? ' --past-horizon' : ''}`;
}

function waiveCommand({ stream }: CellStory, { orgId, day }: CellPlace): string {
  return `losant-usage waive --org ${orgId} --day ${day} --stream ${stream} --reason TEXT`;
}

export type Fact = readonly [name: string, value: string];

/** `describeCell` names the standing and what is stored, e.g. `stored, revision 2`. */
export function describeCell({ standing, ledger }: CellStory): string {
  const parts = [standing === null ? 'not tracked' : STANDINGS[standing].label];
  if (standing !== null && isGap(standing)) parts.push('a gap');
  if (ledger?.isStored) {
    if (standing === null) parts.push('stored');
    parts.push(`revision ${ledger.revision}`);
    if (!ledger.isReported) parts.push('zeros for a day Losant left out');
  }
  return parts.join(', ');
}

/**
 * `ledgerFacts` lists when a cell was read, by whom, and with what result; facts that do not apply are
 * left out.
 */
export function ledgerFacts(ledger: LedgerRow, nowMs: number): Fact[] {
  const { attempts } = ledger;
  const instant = (text: string | null) => (text === null ? null : showInstant(text));
  const facts: readonly (readonly [string, string | null])[] = [
    ['first loaded', instant(ledger.firstLoadedAt)],
    ['read', instant(ledger.verifiedAt)],
    ['final since', instant(ledger.finalizedAt)],
    ['response sha256', ledger.responseSha256],
    ['run', describeRun(ledger)],
    ['last attempt', attempts > 0 ? instant(ledger.attemptedAt) : null],
    ['failed attempts', attempts > 0 ? showNumber(attempts) : null],
    [attempts > 0 ? 'next try' : 'next read', describeNextRead(ledger, nowMs)],
    ['reason', ledger.reason === null ? null : `${ledger.reason}: ${ledger.message ?? ''}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
}

function describeRun({ runId, runKind, runHost, runVersion }: LedgerRow): string | null {
  if (runKind === null) return runId;
  return `${runId} (${[runKind, runHost, `version ${runVersion}`].filter((part) => part !== null).join(', ')})`;
}

function describeNextRead({ nextReadAt }: LedgerRow, nowMs: number): string | null {
  if (nextReadAt === null) return null;
  return Date.parse(nextReadAt) > nowMs ? showWhen(nextReadAt, nowMs) : 'with the next run';
}

/** `describeAuthor` names who changed a number: `run ID`, or the database user that did it by hand. */
export function describeAuthor({ runId, changedBy }: Pick<Revision, 'runId' | 'changedBy'>): string {
  return runId === null ? `by hand, ${changedBy}` : `run ${runId}`;
}

/** `describeChange` shows only what differs: `minutes 5 -> 6`. */
export function describeChange({ key, old, new: now }: Revision): string {
  const columns = Object.keys(now ?? old ?? {}).filter((column) => old?.[column] !== now?.[column]);
  const changes = columns.map(
    (column) => `${column} ${showStored(old?.[column])} -> ${showStored(now?.[column])}`,
  );
  return [...Object.values(key), changes.join(', ')].join('  ');
}

/** `showStored` shows a number, or `nothing` where none is stored. */
export function showStored(value: number | undefined): string {
  return value === undefined ? 'nothing' : showNumber(value);
}

/** `describeSeen` says how often an invalid answer was seen, and whether a good one has come since. */
export function describeSeen(answer: QuarantinedAnswer): string {
  const { times, lastSeenAt } = answer;
  return `${count(times, 'time')}, last ${showInstant(lastSeenAt)}, ${describeResolution(answer)}`;
}

/** `describeResolution` describes when the answer was resolved. Other days of it may still lack a good one. */
function describeResolution({ resolvedAt, isResolved }: QuarantinedAnswer): string {
  if (resolvedAt !== null) return `resolved ${showInstant(resolvedAt)}`;
  return isResolved ? 'resolved for this day' : 'not resolved';
}

/** `describeWaiver` says who accepted a number, since when and until when. */
export function describeWaiver({ waivedBy, waivedAt, liftedAt, liftedByRun }: Waiver): string {
  const what = liftedByRun === null ? 'replaced' : 'lifted by a good read';
  const until = liftedAt === null ? 'in force' : `${what} ${showInstant(liftedAt)}`;
  return `by ${waivedBy} ${showInstant(waivedAt)}, ${until}`;
}
