import { LosantError } from '../errors.ts';
import type { Answer } from '../losant/attempt.ts';
import { fetchUsage } from '../losant/usage.ts';
import { addDays, daysFrom } from '../usage/day.ts';
import type { Slice } from '../usage/plan.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { InstanceContext } from './context.ts';
import { judgeAnswers, judgeFailure, type SliceResult } from './validate.ts';

/**
 * Fetches a slice and judges what comes. A window that is refused or too slow is
 * halved, down to a single day: one result for each window that was settled.
 * A refusal to answer becomes a verdict; throws only when `signal` aborts.
 */
export async function extractSlice(
  slice: Slice,
  context: InstanceContext,
  signal: AbortSignal,
): Promise<SliceResult[]> {
  const { client, instanceId, policy, now } = context;
  const { orgId, window } = slice;
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
    return [judgeFailure(slice, error, startedAtMs, policy)];
  }
  return [judgeAnswers(slice, answers, policy)];
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
