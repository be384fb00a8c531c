import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import type { GetRequest } from './client.ts';
import { instancePath, orgPath } from './orgs.ts';

/** A request for one counter of an organization or of the whole instance. */
interface CounterRequest extends UsageRequest {
  readonly instanceId: string;
  /** The organization, or {@link WHOLE_INSTANCE}. */
  readonly orgId: string;
  readonly range: DayRange;
  readonly signal: AbortSignal;
}

/**
 * Creates the request for a counter. The end is the last millisecond of the last day: the API documents ranges that
 * way, and whether it includes the end or not, no bucket of another day fits.
 */
export function createUsageRequest(request: CounterRequest): GetRequest {
  const { instanceId, orgId, action, query, range, signal } = request;
  const { from, to } = range;
  // The API treats a start of 0 or below as relative to now.
  const isValid = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isValid) throw new Error(`not a range of usage days: ${from}..${to}`);
  const days = from === to ? from : `${from}..${to}`;
  const isInstance = orgId === WHOLE_INSTANCE;
  return {
    action: `${isInstance ? 'instance' : 'instanceOrg'}.${action}`,
    ids: { ...(isInstance ? { instance: instanceId } : { org: orgId }), days },
    path: `${isInstance ? instancePath(instanceId) : orgPath(instanceId, orgId)}/${action}`,
    query: { ...query, start: String(dayStartMs(from)), end: String(dayEndMs(to) - 1) },
    notBeforeMs: dayEndMs(to),
    signal,
  };
}
