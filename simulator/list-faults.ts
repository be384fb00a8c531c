import { z } from 'zod';
import { hashText } from './hash.ts';
import type { Body } from './rejection.ts';

export const ODD_ITEMS = ['null', 'no_id', 'no_name', 'twice'] as const;

const lowerCase = z.string().transform((text) => text.toLowerCase());

/** The faults of the organization list, all of them off by default. */
export const listFaults = z.strictObject({
  /** Pages without items; `totalCount` stays. */
  emptyPages: z.array(z.number()).readonly().optional(),
  /** Whether every page is the first one, under the requested page number. */
  ignorePage: z.boolean().optional(),
  /** Whether the list is unsorted despite the request. */
  ignoreSort: z.boolean().optional(),
  /** Organizations that are not in the list and its count. */
  hide: z.array(lowerCase).readonly().optional(),
  /** Replaces the true count. */
  totalCount: z.number().optional(),
  /** Deletes the organization after the response with this page, once. */
  deleteAfter: z.strictObject({ page: z.number(), orgId: z.string() }).optional(),
  /** Odd items by ID. */
  items: z.record(lowerCase, z.enum(ODD_ITEMS)).readonly().optional(),
});
export type ListFaults = z.output<typeof listFaults>;

/** Returns the keys in the order of the list, some of them twice. */
export function orderKeys(keys: readonly string[], { ignoreSort, items }: ListFaults): readonly string[] {
  const sequence = ignoreSort ? keys.toSorted((a, b) => hashText(a) - hashText(b)) : keys;
  if (items === undefined) return sequence;
  return sequence.flatMap((key) => (items[key] === 'twice' ? [key, key] : [key]));
}

/** Applies the fault of an item. */
export function spoilItem(body: Body, key: string, { items }: ListFaults): Body | null {
  const odd = items?.[key];
  if (odd === 'null') return null;
  if (odd === 'no_id') return { ...body, id: undefined, orgId: undefined };
  return odd === 'no_name' ? { ...body, name: undefined } : body;
}
