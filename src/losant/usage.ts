import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import type { GetRequest } from './client.ts';
import { instancePath, orgPath } from './orgs.ts';

/** A usage counter of an organization, or of the whole instance, over a window of days. */
interface UsageQuestion extends UsageRequest {
  readonly instanceId: string;
  /** The organization, or {@link WHOLE_INSTANCE}. */
  readonly orgId: string;
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
  const isWhole = orgId === WHOLE_INSTANCE;
  return {
    action: `${isWhole ? 'instance' : 'instanceOrg'}.${action}`,
    ids: { ...(isWhole ? { instance: instanceId } : { org: orgId }), days },
    path: `${isWhole ? instancePath(instanceId) : orgPath(instanceId, orgId)}/${action}`,
    query: { ...query, start: String(dayStartMs(from)), end: String(dayEndMs(to) - 1) },
    notBeforeMs: dayEndMs(to),
    signal,
  };
}
