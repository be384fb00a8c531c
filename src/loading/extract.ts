import { hash } from 'node:crypto';
import { LosantError } from '../errors.ts';
import type { SliceResponse } from '../ledger/quarantine.ts';
import type { ApiResponse } from '../losant/response.ts';
import { createUsageRequest } from '../losant/usage.ts';
import type { CellResponse, Verdict } from '../usage/cell.ts';
import { addDays, countDays } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { getStream } from '../usage/streams/catalog.ts';
import { type BodyContent, UnplaceableBodyError } from '../usage/streams/stream.ts';
import type { InstanceContext } from './context.ts';
import { withoutIdsAndDays } from './report.ts';

/**
 * Fetches a slice and judges the answers, each of its days separately. A window that is refused or too slow is halved,
 * down to a single day; there is one result for each window that was answered or gave up. An error of Losant becomes a
 * verdict. Throws only when `signal` aborts.
 */
export async function extractSlice(
  slice: Slice,
  context: Pick<InstanceContext, 'client' | 'instanceId' | 'now'>,
  signal: AbortSignal,
): Promise<SliceResult[]> {
  const { client, instanceId, now } = context;
  const { orgId, stream, range } = slice;
  const { requests, parseBodies } = getStream(stream);
  const startedAtMs = now();
  const answers: ApiResponse[] = [];
  try {
    for (const request of requests) {
      answers.push(await client.get(createUsageRequest({ instanceId, orgId, range, signal, ...request })));
    }
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    const halves = isTooMuch(error) ? halve(slice) : null;
    if (halves) return (await Promise.all(halves.map((half) => extractSlice(half, context, signal)))).flat();
    return [toFailedResult(slice, error, startedAtMs)];
  }
  const texts = answers.map(({ text }) => text);
  const { sentAtMs } = answers[0] as ApiResponse;
  try {
    const { days, ...counts } = parseBodies(
      answers.map(({ body }) => body),
      range,
    );
    const sha256 = hash('sha256', texts.join(''), 'hex');
    const judged = slice.days.map((day): CellResponse => {
      return { orgId, stream, day, sentAtMs, sha256, verdict: days.get(day) ?? LEFT_OUT };
    });
    return [{ slice, answers: judged, texts, error: null, ...counts }];
  } catch (error) {
    if (!(error instanceof UnplaceableBodyError)) throw error;
    const verdict = { kind: 'quarantined', code: UNPLACEABLE, detail: error.message } as const;
    return [sameVerdictForAll(slice, verdict, { sentAtMs, texts, error: null })];
  }
}

/** Whether a shorter window may be answered. */
function isTooMuch({ kind }: LosantError): boolean {
  return kind === 'refused' || kind === 'timeout';
}

/** Returns the slice in two halves, each with the window that its own days need; null for a window of one day. */
function halve({ orgId, stream, range: { from, to }, days }: Slice): Slice[] | null {
  const length = countDays(from, to) + 1;
  if (length === 1) return null;
  const middle = addDays(from, Math.floor(length / 2));
  const halves = [days.filter((day) => day >= middle), days.filter((day) => day < middle)];
  return halves.flatMap((half) => planSlices(half.map((day) => ({ orgId, stream, day }))));
}

/** A finished slice, ready to be loaded: an answer for each of its cells. */
export interface SliceResult extends SliceResponse, Omit<BodyContent, 'days'> {
  readonly slice: Slice;
  /** The reason why there was no answer; null if there was one. */
  readonly error: LosantError | null;
}

/** Turns the error of a request into results. An unusable body is quarantined with its slice. */
export function toFailedResult(slice: Slice, error: LosantError, sentAtMs: number): SliceResult {
  const { kind: code, body } = error;
  const detail = withoutIdsAndDays(error.message);
  if (code !== 'bad_body') {
    return sameVerdictForAll(slice, { kind: 'failed', code, detail }, { sentAtMs, texts: [], error });
  }
  const texts = body === null ? [] : [body];
  return sameVerdictForAll(
    slice,
    { kind: 'quarantined', code: UNPLACEABLE, detail },
    { sentAtMs, texts, error },
  );
}

/** Returns the slice with the same verdict for every cell. */
function sameVerdictForAll(
  slice: Slice,
  verdict: Verdict,
  { sentAtMs, ...rest }: Pick<SliceResult, 'texts' | 'error'> & Pick<CellResponse, 'sentAtMs'>,
): SliceResult {
  const { orgId, stream, days } = slice;
  const answers = days.map((day) => ({ orgId, stream, day, sentAtMs, sha256: null, verdict }));
  return { slice, answers, outsideBuckets: 0, unknownKeys: 0, ...rest };
}

const UNPLACEABLE = 'unplaceable_body';
const LEFT_OUT: Verdict = { kind: 'omitted' };
