import { addDays, daysFrom } from '../usage/day.ts';
import { LosantError } from '../errors.ts';
import type { Answer } from '../losant/attempt.ts';
import type { LosantClient } from '../losant/client.ts';
import { fetchUsage } from '../losant/usage.ts';
import type { Stream } from '../usage/streams/stream.ts';
import { judgeBodies, quarantineSlice, type SliceVerdict, sameForAll } from './validate.ts';
import type { Slice } from '../usage/plan.ts';
import type { Policy } from '../usage/policy.ts';

export interface ExtractOptions {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly stream: Stream;
  readonly policy: Policy;
  /** ms by the database's clock. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface SliceResult extends SliceVerdict {
  readonly slice: Slice;
  /** Why no answer came, if none came. */
  readonly error: LosantError | null;
}

/**
 * Fetches a slice and judges what comes. A window that is refused or too slow is
 * halved, down to a single day: one result for each window that was settled.
 * A refusal to answer becomes a verdict; throws only when `signal` aborts.
 */
export async function extractSlice(slice: Slice, options: ExtractOptions): Promise<SliceResult[]> {
  const startedAtMs = options.now();
  const answers: Answer[] = [];
  try {
    for (const request of options.stream.requests) {
      const { client, instanceId, signal } = options;
      const { orgId, window } = slice;
      answers.push(await fetchUsage(client, { instanceId, orgId, window, signal, ...request }));
    }
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    const halves = isTooMuch(error) ? halve(slice) : null;
    if (halves) return (await Promise.all(halves.map((half) => extractSlice(half, options)))).flat();
    return [{ slice, error, ...judgeError(slice, error, startedAtMs, options) }];
  }
  const verdict = judgeBodies(
    slice,
    options.stream,
    {
      parsed: answers.map(({ body }) => body),
      texts: answers.map(({ text }) => text),
      sentAtMs: (answers[0] as Answer).sentAtMs,
    },
    options.policy,
  );
  return [{ slice, error: null, ...verdict }];
}

/** Whether a shorter window might be answered. */
function isTooMuch({ kind }: LosantError): boolean {
  return kind === 'refused' || kind === 'timeout';
}

/** The slice in two, each with the window its own days need; null for a window of one day. */
function halve(slice: Slice): Slice[] | null {
  const { from, to } = slice.window;
  const length = daysFrom(from, to) + 1;
  if (length === 1) return null;
  const middle = addDays(from, Math.floor(length / 2));
  const halves = [
    slice.days.filter(({ day }) => day >= middle),
    slice.days.filter(({ day }) => day < middle),
  ];
  return halves.flatMap((days) => {
    const newest = days[0];
    const oldest = days.at(-1);
    return newest && oldest ? [{ ...slice, window: { from: oldest.day, to: newest.day }, days }] : [];
  });
}

function judgeError(
  slice: Slice,
  error: LosantError,
  sentAtMs: number,
  { stream, policy }: ExtractOptions,
): SliceVerdict {
  if (error.kind === 'bad_body') {
    const texts = error.body === null ? [] : [error.body];
    return quarantineSlice(slice, stream, { problem: error.message, texts, sentAtMs }, policy);
  }
  const outcome = { kind: 'failed', code: error.kind, message: error.message } as const;
  return sameForAll(slice, stream, { sentAtMs, outcome }, policy);
}
