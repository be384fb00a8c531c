import { hash } from 'node:crypto';
import { LosantError } from '../errors.ts';
import { createUsageRequest } from '../losant/endpoints.ts';
import type { ApiResponse } from '../losant/response.ts';
import type { CellResponse, Verdict } from '../usage/cell.ts';
import { addDays, countDays } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { getStream } from '../usage/streams/catalog.ts';
import { type BodyContent, UnplaceableBodyError } from '../usage/streams/stream.ts';
import type { RunContext } from './context.ts';
import { withoutIdsAndDays } from './report.ts';

type ExtractContext = Pick<RunContext, 'client' | 'now'>;

/**
 * Requests the usage of a slice and splits the responses into its days. A slice that Losant rejects or cuts short is
 * halved, down to a single day; each part has a result of its own. An error of Losant becomes a verdict. Throws only if
 * `signal` aborts.
 */
export async function extractSlice(slice: Slice, context: ExtractContext, signal: AbortSignal): Promise<SliceResult[]> {
  const result = await requestSlice(slice, context, signal);
  const mayBeTooLong = result.error?.kind === 'rejected' || result.isCutShort;
  const halves = mayBeTooLong ? halveSlice(slice) : null;
  if (halves === null) return [result];
  return (await Promise.all(halves.map((half) => extractSlice(half, context, signal)))).flat();
}

async function requestSlice(slice: Slice, { client, now }: ExtractContext, signal: AbortSignal) {
  const { orgId, stream, range } = slice;
  const { requests, parseBodies } = getStream(stream);
  const startedAtMs = now();
  const apiResponses: ApiResponse[] = [];
  try {
    for (const request of requests) {
      apiResponses.push(await client.get(createUsageRequest({ orgId, range, signal, ...request })));
    }
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    return toFailedResult(slice, error, startedAtMs);
  }
  const texts = apiResponses.map(({ text }) => text);
  const bodies = apiResponses.map(({ body }) => body);
  const { sentAtMs } = apiResponses[0] as ApiResponse;
  try {
    const { days, ...counts } = parseBodies(bodies, range);
    const sha256 = hash('sha256', texts.join(''), 'hex');
    const responses = slice.days.map((day): CellResponse => {
      return { orgId, stream, day, sentAtMs, texts, sha256, verdict: days.get(day) ?? OMITTED };
    });
    return { slice, responses, error: null, ...counts };
  } catch (error) {
    if (!(error instanceof UnplaceableBodyError)) throw error;
    const verdict = { kind: 'quarantined', code: UNPLACEABLE, detail: error.message } as const;
    return { ...sameVerdictForAll(slice, verdict, { sentAtMs, texts, error: null }), isCutShort: error.isCutShort };
  }
}

/** Returns the halves of a slice, each with the range that its days need; null for a range of one day. */
function halveSlice({ orgId, stream, range: { from, to }, days }: Slice): Slice[] | null {
  const length = countDays(from, to) + 1;
  if (length === 1) return null;
  const middle = addDays(from, Math.floor(length / 2));
  const halves = [days.filter((day) => day >= middle), days.filter((day) => day < middle)];
  return halves.flatMap((half) => planSlices(half.map((day) => ({ orgId, stream, day }))));
}

/** A finished slice, ready to be loaded: a response for each of its cells. */
export interface SliceResult extends Omit<BodyContent, 'days'> {
  readonly slice: Slice;
  readonly responses: readonly CellResponse[];
  /** The error that ended the request; null if Losant responded. */
  readonly error: LosantError | null;
  readonly isCutShort?: boolean;
}

/** Turns the error of a request into a result. An unusable body is quarantined with its slice. */
function toFailedResult(slice: Slice, error: LosantError, sentAtMs: number): SliceResult {
  const { kind: code, body } = error;
  const detail = withoutIdsAndDays(error.message);
  if (code !== 'bad_body') {
    return sameVerdictForAll(slice, { kind: 'failed', code, detail }, { sentAtMs, texts: [], error });
  }
  const verdict = { kind: 'quarantined', code: UNPLACEABLE, detail } as const;
  return sameVerdictForAll(slice, verdict, { sentAtMs, texts: body === null ? [] : [body], error });
}

function sameVerdictForAll(
  slice: Slice,
  verdict: Verdict,
  { error, ...source }: Pick<SliceResult, 'error'> & Pick<CellResponse, 'sentAtMs' | 'texts'>,
): SliceResult {
  const { orgId, stream, days } = slice;
  const responses = days.map((day) => ({ orgId, stream, day, ...source, sha256: null, verdict }));
  return { slice, responses, error, outsideBuckets: 0, unknownKeys: 0 };
}

/** The code of a body whose values cannot be attributed to days. */
const UNPLACEABLE = 'unplaceable_body';
const OMITTED: Verdict = { kind: 'omitted' };
