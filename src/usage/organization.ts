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

/** The pattern of an ID. Losant writes IDs in lower case, and they are stored so; people may use either. */
export const ID_PATTERN = '[0-9a-f]{24}';

const STORED_ID = new RegExp(`^${ID_PATTERN}$`);

/** Returns whether a text has the form in which IDs are stored. */
export function isLosantId(text: string): boolean {
  return STORED_ID.test(text);
}
