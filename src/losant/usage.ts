import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import type { Answer } from './answer.ts';
import type { LosantClient } from './client.ts';
import { instancePath, orgPath } from './orgs.ts';

/** A usage counter of an organization, or of the whole instance. */
export interface UsageCounter extends UsageRequest {
  readonly instanceId: string;
  /** The organization; null for the counter of the whole instance. */
  readonly orgId: string | null;
  /** The time before which no cache may have made the answer. */
  readonly notBeforeMs?: number | undefined;
  /** The number of attempts instead of the client's. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Returns the counter over a window of days. The end is sent as the last millisecond of the last
 * day: the API documents every range that way, and no other day's bucket fits whether the API includes the
 * end or not. Throws a `LosantError`.
 */
export async function fetchUsage(
  client: LosantClient,
  { window, ...counter }: UsageCounter & { readonly window: DayRange },
): Promise<Answer> {
  assertWindow(window);
  const range = { startMs: dayStartMs(window.from), endMs: dayEndMs(window.to) - 1 };
  const days = window.from === window.to ? window.from : `${window.from}..${window.to}`;
  return askUsage(client, { ...counter, ...range, notBeforeMs: dayEndMs(window.to) }, { days });
}

/** Returns the counter over any range of time, sent as given. Throws a `LosantError`. */
async function askUsage(
  client: LosantClient,
  counter: UsageCounter & { readonly startMs: number; readonly endMs: number },
  ids: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { instanceId, orgId, action, query, startMs, endMs, notBeforeMs, attempts, signal } = counter;
  return client.get({
    action: `${orgId === null ? 'instance' : 'instanceOrg'}.${action}`,
    path: `${orgId === null ? instancePath(instanceId) : orgPath(instanceId, orgId)}/${action}`,
    query: { ...query, start: String(startMs), end: String(endMs) },
    ids: { ...(orgId === null ? { instance: instanceId } : { org: orgId }), ...ids },
    notBeforeMs,
    attempts,
    signal,
  });
}

/** Refuses a start of 0 or below, which this API takes as relative to now. */
function assertWindow({ from, to }: DayRange): void {
  const isWindow = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isWindow) throw new Error(`not a window of usage days: ${from}..${to}`);
}
