import { z } from 'zod';
import { hashText } from './hash.ts';
import type { Body } from './refusal.ts';

export const ODD_ITEMS = ['null', 'no_id', 'no_name', 'twice'] as const;

const lowerCase = z.string().transform((text) => text.toLowerCase());

/** The faults of the organization list; each is off unless it is named. */
export const listFaults = z.strictObject({
  /** The pages that come without items; `totalCount` stays. */
  emptyPages: z.array(z.number()).readonly().optional(),
  /** Whether every page is the first, though the answer names the page asked for. */
  ignorePage: z.boolean().optional(),
  /** Whether the list is in no order, whatever was asked for. */
  ignoreSort: z.boolean().optional(),
  /** The organizations left out of the list and its count. */
  hide: z.array(lowerCase).readonly().optional(),
  /** The count that is sent instead of the true one. */
  totalCount: z.number().optional(),
  /** Deletes the organization, once, after this page was answered. */
  deleteAfter: z.strictObject({ page: z.number(), orgId: z.string() }).optional(),
  /** The odd items of the list, by id. */
  items: z.record(lowerCase, z.enum(ODD_ITEMS)).readonly().optional(),
});
export type ListFaults = z.output<typeof listFaults>;

/** Returns the keys in the order in which their organizations are served, some of them twice. */
export function orderList(keys: readonly string[], { ignoreSort, items }: ListFaults): readonly string[] {
  const ordered = ignoreSort ? keys.toSorted((a, b) => hashText(a) - hashText(b)) : keys;
  if (items === undefined) return ordered;
  return ordered.flatMap((key) => (items[key] === 'twice' ? [key, key] : [key]));
}

/** Returns an organization as the list shows it. */
export function spoilItem(body: Body, key: string, { items }: ListFaults): Body | null {
  const odd = items?.[key];
  if (odd === 'null') return null;
  if (odd === 'no_id') return { ...body, id: undefined, orgId: undefined };
  return odd === 'no_name' ? { ...body, name: undefined } : body;
}
