import { z } from 'zod';
import { DELIVERIES } from './deliver.ts';
import { ANSWERS, REPLIES } from './fault-replies.ts';
import { hashText, mix } from './hash.ts';
import { VALUE_KINDS, type ValueKind } from './value-faults.ts';

export { VALUE_KINDS };
export const REPLY_KINDS = Object.keys(REPLIES) as (keyof typeof REPLIES)[];
export const DELIVERY_KINDS = Object.keys(DELIVERIES) as (keyof typeof DELIVERIES)[];
const ANSWER_KINDS = Object.keys(ANSWERS) as (keyof typeof ANSWERS)[];

const kinds = z.enum([...ANSWER_KINDS, ...DELIVERY_KINDS, ...VALUE_KINDS]);
export type FaultKind = z.output<typeof kinds>;

export function isDeliveryKind(kind: FaultKind): kind is keyof typeof DELIVERIES {
  return kind in DELIVERIES;
}

export function isValueKind(kind: FaultKind): kind is ValueKind {
  return VALUE_KINDS.some((known) => known === kind);
}

/** A plan of which requests fail and how. Only reads fail, `/control` never does. */
export const faultPlan = z.strictObject({
  kinds: z.array(kinds).readonly(),
  /** The share of requests, from 0 to 1; default 1. */
  rate: z.number().optional(),
  /** Alternative to `rate`: one in this many requests, and every n-th repetition of the same request. */
  every: z.number().optional(),
  /** The number of faults in a row after which the same request is answered properly once; default 3. */
  maxPerRequest: z.number().optional(),
  /** Whether faults go on without that bound. */
  forever: z.boolean().optional(),
  /** The only organizations whose requests fail, in any case. */
  orgIds: z.array(z.string()).readonly().optional(),
  /** The only actions that fail, e.g. `instanceOrg.deviceCounts` or just `deviceCounts`. */
  actions: z.array(z.string()).readonly().optional(),
  /** The seconds in Retry-After, for the kinds that send one; default 1. */
  retryAfterSeconds: z.number().optional(),
  /** The age of `cached` and `cached_age`; default three and a half days. */
  ageSeconds: z.number().optional(),
  /** The duration of `slow_body` and `hang`; default 60,000. */
  slowMs: z.number().optional(),
  /** The unpacked size of `huge_body`; default 64 MiB. */
  hugeBytes: z.number().optional(),
});
export type FaultPlan = z.output<typeof faultPlan>;

export interface FaultQuestion {
  readonly seed: string;
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
    const possible = plan.kinds.filter(question.possible);
    const kind = possible[mix(roll, 1) % possible.length];
    if (kind !== undefined) return { kind, plan, pick: mix(roll, 2) };
  }
  return null;
}

function concerns(plan: FaultPlan, { action, orgId }: FaultQuestion): boolean {
  const bare = action.slice(action.indexOf('.') + 1);
  if (plan.actions?.some((each) => each === action || each === bare) === false) return false;
  return plan.orgIds?.some((id) => id.toLowerCase() === orgId?.toLowerCase()) ?? true;
}

function strikes(plan: FaultPlan, hash: number, roll: number, nth: number): boolean {
  if (plan.every !== undefined) return (hash + nth) % plan.every === 0;
  return roll / 2 ** 32 < (plan.rate ?? 1);
}

/** Returns the identity of a request: its query without the switches for links and the like, in any order. */
export function requestIdentity(method: string, path: string, query: URLSearchParams): string {
  const meaningful = [...query]
    .filter(([key]) => !key.startsWith('_'))
    .map(([key, value]) => `${key}=${value}`);
  return `${method} ${path.toLowerCase()} ${meaningful.sort().join('&')}`;
}

/** A fault that was served, and the cell it affected. */
export interface ServedFault {
  readonly at: string;
  readonly kind: FaultKind;
  readonly action: string;
  readonly orgId: string | null;
  /** The UTC day that a value fault changed; null for other kinds. */
  readonly day: string | null;
}

/** The faults served so far, and how often each request was made and met one. */
export class FaultLedger {
  readonly #requests = new Map<string, { nth: number; inRow: number }>();
  readonly served: ServedFault[] = [];

  /** Counts the request. Returns how often it was made before and how many faults in a row it has met. */
  ask(identity: string): { readonly nth: number; readonly inRow: number } {
    const before = this.#requests.get(identity) ?? { nth: 0, inRow: 0 };
    this.#requests.set(identity, { ...before, nth: before.nth + 1 });
    return before;
  }

  /** Notes whether the request just counted met a fault. */
  settle(identity: string, faulty: boolean): void {
    const counted = this.#requests.get(identity);
    if (counted !== undefined) counted.inRow = faulty ? counted.inRow + 1 : 0;
  }
}
