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

/** The same, but final: asking again changes nothing, so nothing comes of them by chance. */
export const REFUSAL_KINDS = ['unauthorized', 'forbidden', 'not_found', 'too_large', 'odd_message'] as const;

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

export type ReplyKind = (typeof REPLY_KINDS)[number] | (typeof REFUSAL_KINDS)[number];
export type DeliveryKind = (typeof DELIVERY_KINDS)[number];
export type ValueKind = (typeof VALUE_KINDS)[number];
export type FaultKind = ReplyKind | DeliveryKind | ValueKind;

/** Which requests go wrong and how. Only reads do; `/control` never. */
export interface FaultPlan {
  readonly kinds: readonly FaultKind[];
  /** Share of requests, 0 to 1. */
  readonly rate?: number | undefined;
  /** Instead of `rate`: one in this many, and every n-th time the same is asked. */
  readonly every?: number | undefined;
  /** After so many faults in a row the same request is answered properly once; default 3. */
  readonly maxPerRequest?: number | undefined;
  /** Without that bound. */
  readonly forever?: boolean | undefined;
  /** Only requests of these organizations, in any case. */
  readonly orgIds?: readonly string[] | undefined;
  /** Only these, e.g. `instanceOrg.deviceCounts` or just `deviceCounts`. */
  readonly actions?: readonly string[] | undefined;
  /** Of the Retry-After of the kinds that send one; default 1. */
  readonly retryAfterSeconds?: number | undefined;
  /** How long `slow_body` takes and `hang` lasts; default 60,000. */
  readonly slowMs?: number | undefined;
  /** Size of `huge_body` when unpacked; default 64 MiB. */
  readonly hugeBytes?: number | undefined;
  /** Where `redirect` points; default a path of the simulator that is not mapped. */
  readonly redirectTo?: string | undefined;
}

export interface FaultQuestion {
  readonly seed: string;
  /** Method, path and the query that matters. */
  readonly identity: string;
  /** How often the same was asked before. */
  readonly nth: number;
  /** How many faults in a row the same request has met. */
  readonly inRow: number;
  readonly action: string;
  readonly orgId: string | null;
  /** What can be done to this answer; others are passed over. */
  readonly possible: (kind: FaultKind) => boolean;
}

export interface ChosenFault {
  readonly kind: FaultKind;
  readonly plan: FaultPlan;
  /** Picks the bucket, field or status: the same for the same question. */
  readonly pick: number;
}

const MAX_IN_ROW = 3;

/** The fault for one request, if any: pure, and without regard to what else was asked in between. */
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
  const kinds = [...REPLY_KINDS, ...REFUSAL_KINDS, ...DELIVERY_KINDS, ...VALUE_KINDS];
  return kinds.some((known) => known === text);
}

export function isValueKind(kind: FaultKind): kind is ValueKind {
  return VALUE_KINDS.some((known) => known === kind);
}

export function isReplyKind(kind: FaultKind): kind is ReplyKind {
  return [...REPLY_KINDS, ...REFUSAL_KINDS].some((known) => known === kind);
}

/** What of a query makes two requests the same: all but the switches for links and the like, in any order. */
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
