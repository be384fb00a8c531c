import { z } from 'zod';
import { DELIVERIES } from './delivery.ts';
import { FAULT_RESPONSES, TRANSIENT_RESPONSES } from './fault-responses.ts';
import { hashText, mix } from './hash.ts';
import { VALUE_FAULTS, type ValueKind } from './value-faults.ts';

export const TRANSIENT_KINDS = Object.keys(TRANSIENT_RESPONSES) as (keyof typeof TRANSIENT_RESPONSES)[];
export const DELIVERY_KINDS = Object.keys(DELIVERIES) as (keyof typeof DELIVERIES)[];
export const VALUE_KINDS = Object.keys(VALUE_FAULTS) as ValueKind[];
const RESPONSE_KINDS = Object.keys(FAULT_RESPONSES) as (keyof typeof FAULT_RESPONSES)[];

const kinds = z.enum([...RESPONSE_KINDS, ...DELIVERY_KINDS, ...VALUE_KINDS]);
export type FaultKind = z.output<typeof kinds>;

export function isDeliveryKind(kind: FaultKind): kind is keyof typeof DELIVERIES {
  return kind in DELIVERIES;
}

export function isValueKind(kind: FaultKind): kind is ValueKind {
  return kind in VALUE_FAULTS;
}

/** Describes which requests fail and how. Only reads of the API fail. */
export const faultPlan = z.strictObject({
  kinds: z.array(kinds).readonly(),
  /** The share of requests that fail, from 0 to 1. */
  rate: z.number().default(1),
  /** Instead of `rate`: one in this many requests, and each n-th repetition of the same request. */
  every: z.number().optional(),
  /** After so many faults in a row, the same request succeeds once. */
  maxPerRequest: z.number().default(3),
  /** Whether `maxPerRequest` is ignored. */
  forever: z.boolean().default(false),
  /** The organizations whose requests fail, in any case; all by default. */
  orgIds: z.array(z.string()).readonly().optional(),
  /** The actions that fail, for example `instanceOrg.deviceCounts` or just `deviceCounts`; all by default. */
  actions: z.array(z.string()).readonly().optional(),
  /** The Retry-After of the kinds that have one. */
  retryAfterSeconds: z.number().default(1),
  /** The duration of `slow_body` and `hang`. */
  slowMs: z.number().default(60_000),
  /** The decompressed size of `huge_body`. */
  hugeBytes: z.number().default(64 * 2 ** 20),
});
export type FaultPlan = z.input<typeof faultPlan>;
type CompletePlan = z.output<typeof faultPlan>;

export interface FaultRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly action: string;
  readonly orgId: string | null;
  /** Returns whether a kind can be applied to the response; other kinds are skipped. */
  readonly isPossible: (kind: FaultKind) => boolean;
}

export interface ChosenFault {
  readonly kind: FaultKind;
  readonly plan: CompletePlan;
  /** Selects the bucket, field or status. The same for the same request. */
  readonly pick: number;
}

/** A fault with the cell that it affected. */
export interface ServedFault {
  readonly at: string;
  readonly kind: FaultKind;
  readonly action: string;
  readonly orgId: string | null;
  /** The day that a value fault changed; null for other kinds. */
  readonly day: string | null;
}

/**
 * Chooses faults and records those that were served, oldest first. Whether a request is affected depends only on the
 * seed, the request and how often it was sent.
 */
export class Faults {
  readonly served: ServedFault[] = [];
  readonly #seed: string;
  /** By request: how often it was sent, and its faults in a row. */
  readonly #requests = new Map<string, { readonly nth: number; readonly inRow: number }>();

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** Counts the request. Returns its fault, or null. */
  choose(plans: readonly CompletePlan[], request: FaultRequest): ChosenFault | null {
    const identity = identify(request);
    const { nth, inRow } = this.#requests.get(identity) ?? { nth: 0, inRow: 0 };
    const chances = plans.map((plan, index): ChosenFault | null => {
      if (!isTargeted(plan, request) || (!plan.forever && inRow >= plan.maxPerRequest)) return null;
      const hash = hashText(`${this.#seed}|fault|${index}|${identity}`);
      const roll = mix(hash, nth);
      const isAffected = plan.every === undefined ? roll / 2 ** 32 < plan.rate : (hash + nth) % plan.every === 0;
      const possible = isAffected ? plan.kinds.filter(request.isPossible) : [];
      const kind = possible[mix(roll, 1) % possible.length];
      return kind === undefined ? null : { kind, plan, pick: mix(roll, 2) };
    });
    const fault = chances.find((chance) => chance !== null) ?? null;
    this.#requests.set(identity, { nth: nth + 1, inRow: fault === null ? 0 : inRow + 1 });
    return fault;
  }
}

/** Returns a key of the request: without switches such as `_links`, and with sorted parameters. */
function identify({ method, path, query }: FaultRequest): string {
  const meaningful = [...query].filter(([key]) => !key.startsWith('_'));
  const parameters = meaningful.map(([key, value]) => `${key}=${value}`);
  return `${method} ${path.toLowerCase()} ${parameters.sort().join('&')}`;
}

function isTargeted(plan: CompletePlan, { action, orgId }: FaultRequest): boolean {
  const bare = action.slice(action.indexOf('.') + 1);
  if (plan.actions?.some((each) => each === action || each === bare) === false) return false;
  return plan.orgIds?.some((id) => id.toLowerCase() === orgId?.toLowerCase()) ?? true;
}
