import type { UsageDay } from './day.ts';

/** An organization with its attributes as last seen in Losant. Times are ISO text in UTC with milliseconds. */
export interface Organization {
  /** Lower-case hex. */
  readonly orgId: string;
  readonly instanceId: string | null;
  readonly name: string;
  /** Keys may repeat. */
  readonly tags: readonly Tag[];
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  /** Only the numeric limits, under any key. */
  readonly limits: Readonly<Record<string, number>>;
  readonly currentPeriodStart: string | null;
  /** Exclusive: the first instant after the billing period. */
  readonly currentPeriodEnd: string | null;
  /** Null if unknown or in the future. */
  readonly createdOn: UsageDay | null;
}

/** An organization whose attributes cannot be read. It exists, so it must not be treated as deleted. */
export interface UnreadableOrg {
  /** Null if not even the ID could be read. */
  readonly orgId: string | null;
  readonly problem: string;
}

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/** Returns whether a text has the form in which IDs are stored: 24 lower-case hex digits. */
export function isLosantId(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text);
}
