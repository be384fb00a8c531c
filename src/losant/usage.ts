import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import type { GetRequest } from './client.ts';
import { instancePath, orgPath } from './orgs.ts';

/** A usage counter of an organization, or of the whole instance, over a window of days. */
interface UsageQuestion extends UsageRequest {
  readonly instanceId: string;
  /** The organization; null for the counter of the whole instance. */
  readonly orgId: string | null;
  readonly window: DayRange;
  readonly signal: AbortSignal;
}

/**
 * Returns the request for a counter. The end is sent as the last millisecond of the last day: the API documents every
 * range that way, and no other day's bucket fits whether the API includes the end or not.
 */
export function usageRequest(question: UsageQuestion): GetRequest {
  const { instanceId, orgId, action, query, window, signal } = question;
  const { from, to } = window;
  // The API takes a start of 0 or below as relative to now.
  const isWindow = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isWindow) throw new Error(`not a window of usage days: ${from}..${to}`);
  const days = from === to ? from : `${from}..${to}`;
  const place = orgId === null ? instancePath(instanceId) : orgPath(instanceId, orgId);
  return {
    action: `${orgId === null ? 'instance' : 'instanceOrg'}.${action}`,
    ids: { ...(orgId === null ? { instance: instanceId } : { org: orgId }), days },
    path: `${place}/${action}`,
    query: { ...query, start: String(dayStartMs(from)), end: String(dayEndMs(to) - 1) },
    notBeforeMs: dayEndMs(to),
    signal,
  };
}
