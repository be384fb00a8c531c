import { hashText, mix } from './hash.ts';

/** Faults that are a complete answer of their own. */
export const REPLY_KINDS = [
  'rate_limit',
  'rate_limit_seconds',
  'rate_limit_date',
  'unavailable',
  'unavailable_after',
  'server_error',
  'server_error_after',
  'html_ok',
  'html_error',
  'redirect',
  'no_content',
  'partial_content',
  'not_modified',
] as const;

/**
 * Final faults that are a complete answer of their own. Asking again changes nothing, so none comes by
 * chance.
 */
export const REFUSAL_KINDS = ['unauthorized', 'forbidden', 'not_found', 'too_large', 'odd_message'] as const;

/**
 * Answers that a cache made earlier, with numbers as they were halfway: `cached` has the Date of that time,
 * `cached_age` the present one and an Age. None comes by chance.
 */
export const CACHE_KINDS = ['cached', 'cached_age'] as const;

/** Faults in how a good answer is sent. */
export const DELIVERY_KINDS = [
  'cut_body',
  'slow_body',
  'reset',
  'hang',
  'not_json',
  'empty_body',
  'huge_body',
] as const;

/** Faults of single values in an answer that is otherwise good. */
export const VALUE_KINDS = [
  'negative',
  'fractional',
  'text_number',
  'null_value',
  'boolean_value',
  'missing_value',
  'missing_bucket',
  'duplicate_bucket',
  'misplaced_bucket',
  'outside_bucket',
  'wrong_window',
  'no_counts',
  'unknown_keys',
  'above_safe',
  'rounded',
  'near_zero',
  'repeated_key',
] as const;

export type ReplyKind =
  | (typeof REPLY_KINDS)[number]
  | (typeof REFUSAL_KINDS)[number]
  | (typeof CACHE_KINDS)[number];
export type DeliveryKind = (typeof DELIVERY_KINDS)[number];
export type ValueKind = (typeof VALUE_KINDS)[number];
export type FaultKind = ReplyKind | DeliveryKind | ValueKind;

/** A plan of which requests fail and how. Only reads fail, `/control` never does. */
export interface FaultPlan {
  readonly kinds: readonly FaultKind[];
  /** The share of requests, from 0 to 1. */
  readonly rate?: number | undefined;
  /** Alternative to `rate`: one in this many requests, and every n-th repetition of the same request. */
  readonly every?: number | undefined;
  /** The number of faults in a row after which the same request is answered properly once; default 3. */
  readonly maxPerRequest?: number | undefined;
  /** Whether faults go on without that bound. */
  readonly forever?: boolean | undefined;
  /** The only organizations whose requests fail, in any case. */
  readonly orgIds?: readonly string[] | undefined;
  /** The only actions that fail, e.g. `instanceOrg.deviceCounts` or just `deviceCounts`. */
  readonly actions?: readonly string[] | undefined;
  /** The seconds in Retry-After, for the kinds that send one; default 1. */
  readonly retryAfterSeconds?: number | undefined;
  /** The age in seconds of `cached` and `cached_age`; default three and a half days. */
  readonly ageSeconds?: number | undefined;
  /** The duration in ms of `slow_body` and `hang`; default 60,000. */
  readonly slowMs?: number | undefined;
  /** The unpacked size of `huge_body` in bytes; default 64 MiB. */
  readonly hugeBytes?: number | undefined;
  /** The target of `redirect`; by default an unmapped path of the simulator. */
  readonly redirectTo?: string | undefined;
}

export interface FaultQuestion {
  readonly seed: string;
  /** The method, the path and the part of the query that matters. */
  readonly identity: string;
  /** The number of times the same request was made before. */
  readonly nth: number;
  /** The number of faults in a row that the same request has met. */
  readonly inRow: number;
  readonly action: string;
  readonly orgId: string | null;
  /** Whether a fault can be applied to this answer; faults that cannot are skipped. */
  readonly possible: (kind: FaultKind) => boolean;
}

export interface ChosenFault {
  readonly kind: FaultKind;
  readonly plan: FaultPlan;
  /** Selects the bucket, field or status; equal for the same question. */
  readonly pick: number;
}

const MAX_IN_ROW = 3;

/** Returns the fault for one request, or null. Pure, and independent of other requests. */
export function chooseFault(plans: readonly FaultPlan[], question: FaultQuestion): ChosenFault | null {
  for (const [index, plan] of plans.entries()) {
    if (!concerns(plan, question)) continue;
    if (plan.forever !== true && question.inRow >= (plan.maxPerRequest ?? MAX_IN_ROW)) continue;
    const hash = hashText(`${question.seed}|fault|${index}|${question.identity}`);
    const roll = mix(hash, question.nth);
    if (!strikes(plan, hash, roll, question.nth)) continue;
    const kinds = plan.kinds.filter(question.possible);
    const kind = kinds[mix(roll, 1) % kinds.length];
    if (kind !== undefined) return { kind, plan, pick: mix(roll, 2) };
  }
  return null;
}

export function isFaultKind(text: string): text is FaultKind {
  const kinds = [...REPLY_KINDS, ...REFUSAL_KINDS, ...CACHE_KINDS, ...DELIVERY_KINDS, ...VALUE_KINDS];
  return kinds.some((known) => known === text);
}

export function isValueKind(kind: FaultKind): kind is ValueKind {
  return VALUE_KINDS.some((known) => known === kind);
}

export function isReplyKind(kind: FaultKind): kind is ReplyKind {
  return [...REPLY_KINDS, ...REFUSAL_KINDS, ...CACHE_KINDS].some((known) => known === kind);
}

/** Returns the identity of a request: its query without the switches for links and the like, in any order. */
export function requestIdentity(method: string, path: string, query: URLSearchParams): string {
  const meaningful = [...query]
    .filter(([key]) => !key.startsWith('_'))
    .map(([key, value]) => `${key}=${value}`);
  return `${method} ${path.toLowerCase()} ${meaningful.sort().join('&')}`;
}

function concerns(plan: FaultPlan, { action, orgId }: FaultQuestion): boolean {
  const bare = action.slice(action.indexOf('.') + 1);
  if (plan.actions !== undefined && !plan.actions.includes(action) && !plan.actions.includes(bare))
    return false;
  if (plan.orgIds === undefined) return true;
  return orgId !== null && plan.orgIds.some((id) => id.toLowerCase() === orgId.toLowerCase());
}

function strikes(plan: FaultPlan, hash: number, roll: number, nth: number): boolean {
  if (plan.every !== undefined) return (hash + nth) % plan.every === 0;
  return roll / 2 ** 32 < (plan.rate ?? 1);
}
