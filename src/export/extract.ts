import { hash } from 'node:crypto';
import { LosantError } from '../errors.ts';
import type { QuarantinedBody } from '../ledger/quarantine.ts';
import type { Answer } from '../losant/answer.ts';
import { fetchUsage } from '../losant/usage.ts';
import type { CellAnswer, Verdict } from '../usage/cell.ts';
import { addDays, daysFrom, type UsageDay } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { UnplaceableBodyError, type WindowReading } from '../usage/streams/stream.ts';
import type { InstanceContext } from './context.ts';
import { withoutPlaces } from './report.ts';

/** In the place of an organization: the totals of all of them, as Losant itself adds them up. */
export const WHOLE_INSTANCE = '';

/**
 * Fetches a slice and judges the answers. A window that is refused or too slow is halved, down to a single day; there
 * is one result for each window that was answered or gave up. An error of Losant becomes a verdict. Throws only when
 * `signal` aborts.
 */
export async function extractSlice(
  slice: Slice,
  context: Pick<InstanceContext, 'client' | 'instanceId' | 'now'>,
  signal: AbortSignal,
): Promise<SliceResult[]> {
  const { client, instanceId, now } = context;
  const { window } = slice;
  const orgId = slice.orgId === WHOLE_INSTANCE ? null : slice.orgId;
  const startedAtMs = now();
  const answers: Answer[] = [];
  try {
    for (const request of streamNamed(slice.stream).requests) {
      answers.push(await fetchUsage(client, { instanceId, orgId, window, signal, ...request }));
    }
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    const halves = isTooMuch(error) ? halve(slice) : null;
    if (halves) return (await Promise.all(halves.map((half) => extractSlice(half, context, signal)))).flat();
    return [judgeFailure(slice, error, startedAtMs)];
  }
  return [judgeAnswers(slice, answers)];
}

/** Whether a shorter window may be answered. */
function isTooMuch({ kind }: LosantError): boolean {
  return kind === 'refused' || kind === 'timeout';
}

/** Returns the slice in two halves, each with the window that its own days need; null for a window of one day. */
function halve({ orgId, stream, window: { from, to }, days }: Slice): Slice[] | null {
  const length = daysFrom(from, to) + 1;
  if (length === 1) return null;
  const middle = addDays(from, Math.floor(length / 2));
  const halves = [days.filter((day) => day >= middle), days.filter((day) => day < middle)];
  return halves.flatMap((half) => planSlices(half.map((day) => ({ orgId, stream, day }))));
}

/** A finished slice, ready to be loaded: an answer for each of its cells, and the bodies worth keeping. */
export interface SliceResult {
  readonly slice: Slice;
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
  readonly outsideBuckets: number;
  readonly unknownKeys: number;
  /** The bodies as received, kept in case Postgres refuses their numbers. */
  readonly texts: readonly string[];
  /** The reason why there was no answer; null if there was one. */
  readonly error: LosantError | null;
}

/** Judges the answers to a slice's requests, each of its days separately. Other days of the window are ignored. */
function judgeAnswers(slice: Slice, answers: readonly Answer[]): SliceResult {
  const texts = answers.map(({ text }) => text);
  const read = { sentAtMs: (answers[0] as Answer).sentAtMs, texts };
  let reading: WindowReading;
  try {
    const bodies = answers.map(({ body }) => body);
    reading = streamNamed(slice.stream).readBodies(bodies, slice.window);
  } catch (error) {
    if (!(error instanceof UnplaceableBodyError)) throw error;
    return quarantineSlice(
      answerSlice(slice, read, () => LEFT_OUT),
      UNPLACEABLE,
      error.message,
    );
  }
  const { days, outsideBuckets, unknownKeys } = reading;
  const sha256 = hash('sha256', texts.join(''), 'hex');
  const judged = answerSlice(slice, { ...read, sha256 }, (day) => days.get(day) ?? LEFT_OUT);
  const quarantined = judged.answers.flatMap(({ orgId, stream, day, verdict }) => {
    if (verdict.kind !== 'quarantined') return [];
    const { code, message: problem } = verdict;
    return [{ orgId, stream, from: day, to: day, code, problem, bodies: texts }];
  });
  return { ...judged, quarantined, outsideBuckets, unknownKeys };
}

/** Judges a request that ended in an error. A body that cannot be used is quarantined with its slice. */
export function judgeFailure(slice: Slice, error: LosantError, sentAtMs: number): SliceResult {
  const { kind: code, body } = error;
  const message = withoutPlaces(error.message);
  const isBad = code === 'bad_body';
  const texts = body === null || !isBad ? [] : [body];
  const failed = answerSlice(slice, { sentAtMs, texts }, () => ({ kind: 'failed', code, message }));
  return { ...(isBad ? quarantineSlice(failed, UNPLACEABLE, message) : failed), error };
}

/** Returns the slice with every cell quarantined, for a body none of whose numbers can be believed. */
export function quarantineSlice(result: SliceResult, code: string, problem: string): SliceResult {
  const { slice, answers, texts } = result;
  const { orgId, stream, window } = slice;
  const verdict = { kind: 'quarantined', code, message: problem } as const;
  return {
    ...result,
    answers: answers.map((answer) => ({ ...answer, sha256: null, verdict })),
    quarantined: [{ orgId, stream, from: window.from, to: window.to, code, problem, bodies: texts }],
  };
}

interface SliceRead {
  /** The time at which the first request was sent, in ms by the database's clock. */
  readonly sentAtMs: number;
  readonly sha256?: string | null;
  readonly texts: readonly string[];
}

function answerSlice(
  slice: Slice,
  { sentAtMs, sha256 = null, texts }: SliceRead,
  verdictOf: (day: UsageDay) => Verdict,
): SliceResult {
  const { orgId, stream, days } = slice;
  const answers = days.map((day) => ({ orgId, stream, day, sentAtMs, sha256, verdict: verdictOf(day) }));
  return { slice, answers, quarantined: [], outsideBuckets: 0, unknownKeys: 0, texts, error: null };
}

const UNPLACEABLE = 'unplaceable_body';
const LEFT_OUT: Verdict = { kind: 'left_out' };
