import { z } from 'zod';
import { DELIVERIES } from './deliver.ts';
import { ANSWERS, REPLIES } from './fault-replies.ts';
import { hashText, mix } from './hash.ts';
import { VALUE_FAULTS, type ValueKind } from './value-faults.ts';

export const REPLY_KINDS = Object.keys(REPLIES) as (keyof typeof REPLIES)[];
export const DELIVERY_KINDS = Object.keys(DELIVERIES) as (keyof typeof DELIVERIES)[];
export const VALUE_KINDS = Object.keys(VALUE_FAULTS) as ValueKind[];
const ANSWER_KINDS = Object.keys(ANSWERS) as (keyof typeof ANSWERS)[];

const kinds = z.enum([...ANSWER_KINDS, ...DELIVERY_KINDS, ...VALUE_KINDS]);
export type FaultKind = z.output<typeof kinds>;

export function isDeliveryKind(kind: FaultKind): kind is keyof typeof DELIVERIES {
  return kind in DELIVERIES;
}

export function isValueKind(kind: FaultKind): kind is ValueKind {
  return kind in VALUE_FAULTS;
}

/** A plan of which requests fail and how. Only reads fail, `/control` never does. */
export const faultPlan = z.strictObject({
  kinds: z.array(kinds).readonly(),
  /** The share of requests, from 0 to 1. */
  rate: z.number().default(1),
  /** Alternative to `rate`: one in this many requests, and every n-th repetition of the same request. */
  every: z.number().optional(),
  /** The number of faults in a row after which the same request is answered properly once. */
  maxPerRequest: z.number().default(3),
  /** Whether faults go on without that bound. */
  forever: z.boolean().default(false),
  /** The only organizations whose requests fail, in any case. */
  orgIds: z.array(z.string()).readonly().optional(),
  /** The only actions that fail, e.g. `instanceOrg.deviceCounts` or just `deviceCounts`. */
  actions: z.array(z.string()).readonly().optional(),
  /** The seconds in Retry-After, for the kinds that send one. */
  retryAfterSeconds: z.number().default(1),
  /** The duration of `slow_body` and `hang`. */
  slowMs: z.number().default(60_000),
  /** The unpacked size of `huge_body`. */
  hugeBytes: z.number().default(64 * 2 ** 20),
});
export type FaultPlan = z.input<typeof faultPlan>;
type CompletePlan = z.output<typeof faultPlan>;

/** A request that may meet a fault. */
export interface FaultQuestion {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly action: string;
  readonly orgId: string | null;
  /** Whether a fault can be applied to this answer; faults that cannot are skipped. */
  readonly isPossible: (kind: FaultKind) => boolean;
}

export interface ChosenFault {
  readonly kind: FaultKind;
  readonly plan: CompletePlan;
  /** Selects the bucket, field or status; equal for the same question. */
  readonly pick: number;
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

/**
 * The faults served so far, oldest first, and the choice of the next. Whether a request meets one depends on the seed,
 * the request and how often it was made, not on other requests.
 */
export class Faults {
  readonly served: ServedFault[] = [];
  readonly #seed: string;
  /** How often each request was made, and how many faults in a row it has met. */
  readonly #requests = new Map<string, { readonly nth: number; readonly inRow: number }>();

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** Counts the request, and returns the fault that it meets, or null. */
  choose(plans: readonly CompletePlan[], question: FaultQuestion): ChosenFault | null {
    const identity = identityOf(question);
    const { nth, inRow } = this.#requests.get(identity) ?? { nth: 0, inRow: 0 };
    const chances = plans.map((plan, index): ChosenFault | null => {
      if (!concerns(plan, question) || (!plan.forever && inRow >= plan.maxPerRequest)) return null;
      const hash = hashText(`${this.#seed}|fault|${index}|${identity}`);
      const roll = mix(hash, nth);
      const isStruck =
        plan.every === undefined ? roll / 2 ** 32 < plan.rate : (hash + nth) % plan.every === 0;
      const possible = isStruck ? plan.kinds.filter(question.isPossible) : [];
      const kind = possible[mix(roll, 1) % possible.length];
      return kind === undefined ? null : { kind, plan, pick: mix(roll, 2) };
    });
    const fault = chances.find((chance) => chance !== null) ?? null;
    this.#requests.set(identity, { nth: nth + 1, inRow: fault === null ? 0 : inRow + 1 });
    return fault;
  }
}

/** Returns the request without the switches for links and the like, and its parameters in one order. */
function identityOf({ method, path, query }: FaultQuestion): string {
  const meaningful = [...query].filter(([key]) => !key.startsWith('_'));
  const parameters = meaningful.map(([key, value]) => `${key}=${value}`);
  return `${method} ${path.toLowerCase()} ${parameters.sort().join('&')}`;
}

function concerns(plan: CompletePlan, { action, orgId }: FaultQuestion): boolean {
  const bare = action.slice(action.indexOf('.') + 1);
  if (plan.actions?.some((each) => each === action || each === bare) === false) return false;
  return plan.orgIds?.some((id) => id.toLowerCase() === orgId?.toLowerCase()) ?? true;
}
