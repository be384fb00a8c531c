/** Plays the steps of a seed, lets the checker look after each, and shrinks what fails. */
import type { ClockDatabase } from '../../support/clock-database.ts';
import { findUndeclaredNulls } from '../../support/declared-nulls.ts';
import { checkAlways, DAY_MS, dayAt, findGaps, HOUR_MS, nameOf } from './checker.ts';
import { rollFrom } from './dice.ts';
import { type LedgerRows, readLedgerRows } from './ledger-rows.ts';
import { checkMoment, checkStatements, readMoment } from './past.ts';
import { PEOPLE_STEPS } from './people-steps.ts';
import { nameAgain, PLATFORM_STEPS } from './platform-steps.ts';
import { PROCESS_STEPS } from './process-steps.ts';
import {
  checkComplete,
  checkDoubts,
  checkFailures,
  checkForgotten,
  checkHealed,
  checkOrder,
  checkPartial,
  checkTracked,
  type Failure,
} from './run-checks.ts';
import type { Kind } from './step.ts';
import { STREAMS } from './truth.ts';
import {
  changeSettings,
  EVERYTHING,
  livingOf,
  NO_TROUBLE,
  noteAll,
  type Outcome,
  openWorld,
  POLICIES,
  passTime,
  query,
  run,
  setTrouble,
  start,
  unnoticedOf,
  type World,
} from './world.ts';

const ALL_KINDS = { ...PLATFORM_STEPS, ...PROCESS_STEPS, ...PEOPLE_STEPS };
export type StepKind = keyof typeof ALL_KINDS;
export const KINDS: Readonly<Record<StepKind, Kind>> = ALL_KINDS;

/** A step as plain data: what it does is drawn from its own dice, so that it does the same without the others. */
export interface Step {
  /** Its place among the steps of its seed. */
  readonly number: number;
  readonly kind: StepKind;
  readonly dice: number;
}

/** Returns the steps of a seed, of which the first is a run: before it there is nothing to go wrong. */
export function stepsOf(seed: number, count: number): Step[] {
  const dice = rollFrom(seed);
  const bag = Object.entries(KINDS).flatMap(([kind, { weight }]) =>
    Array<StepKind>(weight).fill(kind as StepKind),
  );
  const draw = (number: number): Step => ({ number, kind: dice.pick(bag), dice: dice.below(2 ** 31) });
  const first: Step = { number: 1, kind: dice.pick(['run', 'wake']), dice: 1 };
  return [first, ...Array.from({ length: count - 1 }, (_, index) => draw(index + 2))];
}

/** What was played, and the checker's sentences about the first step after which something was wrong. */
export interface Played {
  readonly log: readonly string[];
  readonly wrong: readonly string[];
}

/** Plays the steps in a new world of the seed; then faults end, and everything must heal. */
export async function playSteps(
  seed: number,
  steps: readonly Step[],
  template: ClockDatabase,
): Promise<Played> {
  await using world = await openWorld(seed, template);
  const log: string[] = [];
  for (const [index, { kind, dice }] of steps.entries()) {
    const wrong = await playStep(world, log, {
      kind,
      play: () => KINDS[kind].play(world, rollFrom(dice)),
      index,
    });
    if (wrong.length > 0) return { log, wrong };
  }
  const wrong = await heal(world, log);
  return { log, wrong };
}

async function playStep(
  world: World,
  log: string[],
  { kind, play, index }: { kind: string; play: () => Promise<string>; index: number },
): Promise<string[]> {
  await passTime(world);
  world.outcomes = [];
  world.complaints = [];
  const at = new Date(world.nowMs).toISOString().slice(0, 16);
  let before = world.ledger;
  const description = await play().catch((error: unknown) => {
    world.complaints.push(`the step threw ${error instanceof Error ? error.stack : String(error)}`);
    return 'threw';
  });
  // A failover has put another database in its place.
  before = kind === 'failover' ? world.ledger : before;
  log.push(`${index + 1}. ${at} ${kind}: ${description}`);
  // Nothing has reached the tables.
  if (kind in PLATFORM_STEPS) return world.complaints;
  return await check(world, before, index);
}

async function check(world: World, before: LedgerRows, index: number): Promise<string[]> {
  const { database, book, memory, outcomes, hasShortHorizon } = world;
  await book.noteFaults();
  const ledger = await readLedgerRows(database.url);
  world.ledger = ledger;
  const holesBefore = hasShortHorizon ? dayAt(world.nowMs - POLICIES.short.horizonDays * DAY_MS) : '0000';
  const lines = [
    ...world.complaints,
    ...checkAlways(ledger, before, book),
    ...checkDoubts(before, ledger),
    ...checkOrder(before, ledger, world.everDeleted),
    ...checkForgotten(ledger, memory.tracked, holesBefore),
  ];
  for (const outcome of outcomes) lines.push(...(await checkOutcome(world, outcome, before)));
  const [only] = outcomes;
  if (only && outcomes.length === 1) lines.push(...(await checkReport(world, only, before)));
  const told = memory.moments[index % Math.max(1, memory.moments.length)];
  if (told) lines.push(...(await checkMoment(database.url, told)));
  if (index % 5 === 4) memory.moments.push(await readMoment(database.url, world.nowMs));
  if (isAboutStatements(outcomes) || index % 9 === 0)
    lines.push(...(await checkStatements(database.url, ledger, memory.statements)));
  return lines;
}

const isAboutStatements = (outcomes: readonly Outcome[]) =>
  outcomes.some(({ what }) => /^(close|statement)/.test(what));

/** What a command says, held against the tables. */
async function checkOutcome(world: World, outcome: Outcome, before: LedgerRows): Promise<string[]> {
  const { ledger, settings, outcomes } = world;
  const { what, code, stdout, stderr, scope, startedAtMs } = outcome;
  const lines: string[] = [];
  if (/^ {4}at /m.test(stderr) || stdout.includes('"unexpected"'))
    lines.push(`failed unexpectedly: ${stderr}`);
  const gaps = findGaps(ledger).length > 0;
  if (what === 'gaps' && code !== (gaps ? 3 : 0)) lines.push(`exit ${code}`);
  if (what === 'status' && code !== (gaps || ledger.listing?.problem ? 3 : 0)) lines.push(`exit ${code}`);
  if (what === 'migrate' && code !== 0) lines.push(`exit ${code}: ${stdout}`);
  if (scope === null) return lines.map((line) => `${what}: ${line}`);
  if (code === 0) {
    // What another process has begun to track meanwhile is a matter of its own.
    const isTracked = new Set(before.cells.filter((cell) => cell.isTracked).map(nameOf));
    const goesOn = new Set(
      ledger.tracks.filter((track) => track.goesOn).map((track) => `${track.stream} ${track.orgId}`),
    );
    // Nor can it know which read of another process fails after its own end.
    const isLast = outcome === outcomes.at(-1);
    const attemptsBefore = new Map(before.cells.map((cell) => [nameOf(cell), cell.attempts]));
    const cells = ledger.cells.filter((cell) => {
      if (!isLast && cell.attempts > (attemptsBefore.get(nameOf(cell)) ?? 0)) return false;
      // A person asks for days of what is exported; a run reads what has left the configuration to its end.
      const isAsked = scope.range === null || goesOn.has(`${cell.stream} ${cell.orgId}`);
      return isAsked && (outcomes.length === 1 || isTracked.has(nameOf(cell)));
    });
    const own = { ...ledger, cells };
    lines.push(...checkComplete(own, { scope, policy: POLICIES[settings.policy], startedAtMs }));
    if (ledger.listing?.problem) lines.push(`complete, and yet ${ledger.listing.problem}`);
    const isOfAll = Object.values(scope).every((part) => part === null);
    if (isOfAll) lines.push(...checkTracked(ledger, await wantedOf(world, startedAtMs)));
    // Beside another process what was missing may be there by now.
  } else if (code === 3 && stdout !== '' && outcomes.length === 1) {
    const report = JSON.parse(stdout) as Partial<Report>;
    const named =
      (report.failures?.length ?? 0) + (scope.range === null ? 0 : (report.cells?.['left_out'] ?? 0));
    lines.push(...checkPartial(ledger, scope, named));
  }
  return lines.map((line) => `${what}: ${line}`);
}

/** The organizations that were in the list when it was last read, exist, and are chosen. */
async function wantedOf(world: World, startedAtMs: number) {
  const { ledger, listedSince, settings } = world;
  const readAtMs = Math.min(startedAtMs, ledger.listing?.atMs ?? 0);
  const living = (await livingOf(world)).filter(
    ({ orgId }) => (listedSince.get(orgId) ?? Infinity) < readAtMs,
  );
  const orgIds = living.map(({ orgId }) => orgId).filter((id) => settings.orgIds?.includes(id) ?? true);
  const createdDays = new Map(living.map(({ orgId, createdDay }) => [orgId, createdDay]));
  return { orgIds, streams: settings.streams, createdDays };
}

interface Report {
  readonly runId: string | null;
  readonly status: string;
  readonly gapsLeft: number;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
  readonly failures: readonly Failure[];
}

/** Whether what a run says of itself adds up, and is what the tables show. */
async function checkReport(
  world: World,
  { what, code, stdout, scope }: Outcome,
  before: LedgerRows,
): Promise<string[]> {
  if (scope === null || ![0, 3, 5].includes(code ?? -1) || !stdout.includes('"cells"')) return [];
  const { status, gapsLeft, cells, rows, runId, failures } = JSON.parse(stdout) as Report;
  const { planned = 0, ...parts } = cells;
  const lines = checkFailures(world.ledger, before, failures);
  const sum = Object.values(parts).reduce((total, count) => total + count, 0);
  if (sum !== planned) lines.push(`${planned} planned, but the counts add up to ${sum}`);
  const isGreen = status === 'complete' && gapsLeft === 0;
  if (isGreen !== (code === 0) && code !== 5)
    lines.push(`exit code ${code} for ${status} with ${gapsLeft} gaps left`);
  const more = countRows(world.ledger) - countRows(before);
  const said = (rows['inserted'] ?? 0) - (rows['deleted'] ?? 0);
  if (more !== said) lines.push(`${more} rows more, but it says ${JSON.stringify(rows)}`);
  if (runId !== null) {
    const [record] = await query(
      world,
      `select status, cells_planned from losant_usage.runs where run_id = '${runId}'`,
    );
    if (record?.['status'] !== status || Number(record['cells_planned']) !== planned)
      lines.push(`recorded ${JSON.stringify(record)}, said ${status}, ${planned}`);
  }
  return lines.map((line) => `${what}: ${line}`);
}

/** The number of rows that a report counts: one for each stored cell of one row, and each source. */
function countRows({ cells }: LedgerRows): number {
  return cells.reduce((sum, { rows }) => sum + rows.length, 0);
}

/**
 * Ends all faults, reads everything again, as often and as late as it takes to become final, and accepts
 * what cannot be read any more. Then all that is tracked is final, accepted, or unavailable with a
 * reason.
 */
async function heal(world: World, log: string[]): Promise<string[]> {
  const lastDay = dayAt(world.nowMs - DAY_MS);
  const runLater = async ({ isLast }: { isLast: boolean }): Promise<string> => {
    await passTime(world, 2 * HOUR_MS);
    const { code, stdout } = await run(world, ['run'], EVERYTHING, { more: PATIENT });
    const { stdout: gaps } = await start(world, ['gaps']).ended;
    if (code !== 0 && isLast)
      world.complaints.push(`nothing is wrong any more, and a run ends with ${code}: ${stdout}${gaps}`);
    return `${code}`;
  };
  const readAll = async (): Promise<string> => {
    await passTime(world, 96 * HOUR_MS);
    const tracked = world.ledger.cells.filter(({ isTracked }) => isTracked).map(({ day }) => day);
    const range = { from: tracked.sort()[0] ?? lastDay, to: lastDay };
    const args = ['backfill', '--from', range.from, '--to', range.to, '--force'];
    // Days of organizations that are gone are asked for in vain.
    return `${(await run(world, args, { ...EVERYTHING, range }, { more: PATIENT })).code}`;
  };
  const parts: readonly (readonly [string, () => Promise<string>])[] = [
    ['all trouble ends', () => endTrouble(world)],
    ['everything is read again', readAll],
    // This one may find that an organization is gone, and say so.
    ['a run two hours later', () => runLater({ isLast: false })],
    ['what is left is accepted', () => acceptRest(world)],
    ['a run two hours later', () => runLater({ isLast: true })],
  ];
  for (const [kind, play] of parts) {
    const wrong = await playStep(world, log, { kind, play, index: log.length });
    if (wrong.length > 0) return wrong;
  }
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  return [
    ...checkHealed(world.ledger, { book: world.book, living, lastDay }),
    ...(await checkStatements(world.database.url, world.ledger, world.memory.statements)),
    ...(await findUndeclaredNulls(world.database.url)).map((column) => `${column} has a null`),
  ];
}

async function endTrouble(world: World): Promise<string> {
  await setTrouble(world, NO_TROUBLE);
  // A level of zero that is left out is missing for ever.
  await world.platform.control('config', { omitZeroDays: false });
  await nameAgain(world);
  await changeSettings(world, { streams: STREAMS, orgIds: null, policy: 'usual', isPooled: false });
  // Of several that were deleted at once none is believed to be.
  const [, ...others] = await unnoticedOf(world);
  for (const orgId of others) await world.platform.control('orgs/restore', { orgId });
  await noteAll(world);
  await passTime(world, HOUR_MS);
  return `${(await run(world, ['run'], EVERYTHING, { more: PATIENT })).code}`;
}

const PATIENT = { REQUEST_TIMEOUT_MS: '30000', REQUEST_ATTEMPTS: '5' };

/** Accepts what will not become final by itself: days of organizations that are gone, and past the horizon. */
async function acceptRest(world: World): Promise<string> {
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  const oldest = dayAt(world.nowMs - POLICIES.usual.horizonDays * DAY_MS);
  const rest = world.ledger.cells.filter(({ isTracked, standing, orgId, day }) => {
    const isOver = !living.has(orgId) || day < oldest;
    return isTracked && isOver && !['final', 'accepted', 'unavailable'].includes(standing ?? '');
  });
  // Losant leaves out what it has named before: the number is zero by now.
  const zeros = world.ledger.cells.filter(({ isTracked, standing, reason, orgId }) => {
    return isTracked && living.has(orgId) && standing === 'in_doubt' && reason === 'left_out';
  });
  for (const { orgId, stream, day } of [...rest, ...zeros]) {
    const asZero = zeros.length > 0 && living.has(orgId) && stream !== 'device_counts' ? ['--as-zero'] : [];
    const args = ['--org', orgId, '--stream', stream, '--day', day, '--reason', 'gone', ...asZero];
    const { code, stdout } = await run(world, ['waive', ...args], null);
    if (code !== 0) world.complaints.push(`waive ${stream} ${orgId} ${day} ended with ${code}: ${stdout}`);
  }
  return `${rest.length + zeros.length} numbers`;
}

/** The most tries: a long sequence shrinks well below it. */
const SHRINK_TRIES_MAX = 40;

/**
 * Returns the fewest steps that still fail: it leaves out ever smaller parts of them as long as the rest fails,
 * whatever the checker then says.
 */
export async function shrink(
  steps: readonly Step[],
  fails: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  let left = steps;
  let tries = 0;
  for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < left.length; ) {
      const without = left.toSpliced(from, size);
      if (without.length < left.length && tries++ < SHRINK_TRIES_MAX && (await fails(without)))
        left = without;
      else from += size;
    }
  }
  return left;
}
