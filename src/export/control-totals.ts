import { hash } from 'node:crypto';
import { LosantError } from '../errors.ts';
import type { Answer } from '../losant/answer.ts';
import { fetchUsage } from '../losant/usage.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import { cutWindows } from '../usage/plan.ts';
import { retryAtMs } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { type Stream, UnplaceableBodyError } from '../usage/streams/stream.ts';
import type { InstanceContext } from './context.ts';
import type { Session } from './session.ts';
import {
  type DayTotals,
  readFailures,
  readTotalsDue,
  recordQuestion,
  recordTotals,
  type TotalsDueOptions,
} from './store-control-totals.ts';

/** The bound on reading control totals, which must not delay a run: a later run reads what is left. */
const LONGEST_MS = 120_000;

/** Attempts per request: a later wake-up asks again anyway. */
const ATTEMPTS = 2;

/** Refusals by a missing scope, endpoint or instance; asked again once a day. */
const REFUSALS: readonly string[] = ['forbidden', 'not_found', 'not_supported', 'refused'];
const REFUSED_ATTEMPTS = 5;

interface Asking {
  readonly context: InstanceContext;
  readonly session: Session;
  /** The session's signal with a time bound. */
  readonly signal: AbortSignal;
}

/** Thrown for an answer that was received and cannot be used. */
class UnusableTotals extends Error {
  override readonly name = 'UnusableTotals';
}

/**
 * `readControlTotals` reads Losant's own totals of the instance by day where they are due, and again for numbers that were read
 * again. Never changes a number or
 * fails a run: a failure is recorded, and logged once. Throws only when the session's signal aborts.
 */
export async function readControlTotals(
  context: InstanceContext,
  session: Session,
  wanted: Pick<TotalsDueOptions, 'again' | 'onlyAgain' | 'retriesFailed'>,
): Promise<void> {
  if (wanted.onlyAgain && wanted.again.size === 0) return;
  const { db, instanceId, policy, selection, streams, now, logger, requestCount } = context;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(LONGEST_MS)]);
  const asking = { context, session, signal };
  const before = requestCount();
  try {
    // The instance's totals cover all organizations, so they cannot be compared with a few named ones.
    const asked = selection.kind === 'all' ? streams : [];
    const due = await readTotalsDue(db, instanceId, { ...wanted, streams: asked, policy, nowMs: now() });
    for (const { stream, days } of due.totals) {
      const ask = () => askTotals(asking, streamNamed(stream), days);
      if (!(await answerQuestion(asking, stream, ask))) return;
    }
  } catch (error) {
    session.signal.throwIfAborted();
    logger.warn({ instance_id: instanceId, err: error }, 'control totals not stored, a later run asks again');
  } finally {
    const requests = requestCount() - before;
    if (requests > 0) logger.debug({ instance_id: instanceId, requests }, 'control totals asked');
  }
}

/**
 * `answerQuestion` asks one question and records the result. Returns false if further questions would fail
 * in the same way.
 */
async function answerQuestion(
  { context, session, signal }: Asking,
  question: string,
  ask: () => Promise<void>,
): Promise<boolean> {
  const { db, instanceId, now, logger } = context;
  const attemptedAtMs = now();
  const attempted_at = new Date(attemptedAtMs).toISOString();
  const known = { instance_id: instanceId, question, attempted_at };
  try {
    await ask();
  } catch (error) {
    session.signal.throwIfAborted();
    const { reason, message } = describeFailure(error, signal);
    const before = await readFailures(db, instanceId, question);
    const isRefusal = REFUSALS.includes(reason);
    const attempts = before.attempts + 1;
    const nextReadAtMs = retryAtMs(attemptedAtMs, isRefusal ? REFUSED_ATTEMPTS : attempts);
    const next_read_at = new Date(nextReadAtMs).toISOString();
    await recordQuestion(db, { ...known, attempts, next_read_at, reason, message });
    const fields = { instance_id: instanceId, question, code: reason, reason: message, next_read_at };
    const text = 'control totals not read, numbers and run are not affected';
    if (before.reason === reason) logger.debug(fields, text);
    else logger.warn(fields, text);
    return isRefusal || reason === UNUSABLE || reason === 'bad_body';
  }
  const answered = {
    verified_at: attempted_at,
    attempts: 0,
    next_read_at: null,
    reason: null,
    message: null,
  };
  await recordQuestion(db, { ...known, ...answered });
  return true;
}

const UNUSABLE = 'unusable';

function describeFailure(error: unknown, signal: AbortSignal): { reason: string; message: string } {
  if (error instanceof LosantError) return { reason: error.kind, message: error.message };
  if (error instanceof UnplaceableBodyError || error instanceof UnusableTotals) {
    return { reason: UNUSABLE, message: error.message };
  }
  if (!signal.aborted) throw error;
  return { reason: 'timeout', message: `no answer within ${LONGEST_MS / 1_000} s` };
}

async function askTotals(asking: Asking, stream: Stream, days: readonly UsageDay[]): Promise<void> {
  const { db, client, instanceId } = asking.context;
  const problems: string[] = [];
  const due = days.map((day) => ({ day }));
  for (const { window, days: wanted } of cutWindows(due, stream.windowDays)) {
    const answers: Answer[] = [];
    for (const request of stream.requests) {
      const asked = { instanceId, orgId: null, window, attempts: ATTEMPTS, signal: asking.signal };
      answers.push(await fetchUsage(client, { ...asked, ...request }));
    }
    const bodies = answers.map(({ body }) => body);
    const totals = readTotals(stream, bodies, { window, problems });
    const asked = new Set(wanted.map(({ day }) => day));
    await recordTotals(
      db,
      { instanceId, ...proofOf(answers), days: totals.filter(({ day }) => asked.has(day)) },
      asking.session.writing,
    );
  }
  if (problems.length > 0) throw new UnusableTotals(`${stream.name}: ${problems[0]}`);
}

/** `readTotals` returns the totals of each day of the window, and a problem for each day that cannot be believed. */
function readTotals(
  stream: Stream,
  bodies: readonly unknown[],
  { window, problems }: { window: DayRange; problems: string[] },
): DayTotals[] {
  const { metrics, columns } = stream;
  const { days } = stream.readBodies(bodies, window);
  const read: DayTotals[] = [];
  for (const day of eachDay(window)) {
    const reading = days.get(day);
    if (reading?.kind === 'quarantined') {
      problems.push(`${day}: ${reading.message}`);
      continue;
    }
    const totals = metrics.map((metric, index) => {
      const isLeftOut = reading === undefined || reading.missingColumns.includes(columns[index] as string);
      const values = reading?.facts.map((fact) => fact.values[index] as number) ?? [];
      return [metric, isLeftOut ? null : values.reduce((sum, value) => sum + value, 0)] as const;
    });
    read.push({ day, totals: Object.fromEntries(totals) });
  }
  return read;
}

function proofOf(answers: readonly Answer[]): { verifiedAt: string; sha256: string } {
  const sentAtMs = Math.min(...answers.map((answer) => answer.sentAtMs));
  const texts = answers.map(({ text }) => text);
  return { verifiedAt: new Date(sentAtMs).toISOString(), sha256: hash('sha256', texts.join(''), 'hex') };
}
