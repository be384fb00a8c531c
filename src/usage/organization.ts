/** An organization of an instance with its attributes as last seen in Losant. */
import type { UsageDay } from './day.ts';

/** Times are UTC, ISO text with milliseconds. */
export interface Organization {
  /** Lower-case hex. */
  readonly orgId: string;
  readonly instanceId: string | null;
  readonly name: string;
  /** The tags; keys may repeat. */
  readonly tags: readonly Tag[];
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  /** The numeric limits; the API's map is open. */
  readonly limits: Readonly<Record<string, number>>;
  readonly currentPeriodStart: string | null;
  /** The end of the billing period, exclusive: the first instant after it. */
  readonly currentPeriodEnd: string | null;
  /** The day of its creation; null if unknown or in the future. */
  readonly createdOn: UsageDay | null;
}

/** An organization that exists, and must not be taken for a deleted one, but whose attributes cannot be read. */
export interface UnreadableOrg {
  /** Null if not even the id could be read. */
  readonly orgId: string | null;
  readonly problem: string;
}

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/** Whether a text is an id as Losant writes it: 24 lower-case hex characters. */
export function isLosantId(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text);
}
