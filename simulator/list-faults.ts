import type { Body } from './bodies.ts';
import { hashText } from './hash.ts';
import type { Org } from './population.ts';
import type { World } from './world.ts';

/** The faults of the organization list; each is off unless it is named. */
export interface ListFaults {
  /** The pages that come without items; `totalCount` stays. */
  readonly emptyPages?: readonly number[] | undefined;
  /** Whether every page is the first, though the answer names the page asked for. */
  readonly ignorePage?: boolean | undefined;
  /** Whether the list is in no order, whatever was asked for. */
  readonly ignoreSort?: boolean | undefined;
  /** The organizations left out of the list and its count, by id in lower case. */
  readonly hide?: readonly string[] | undefined;
  /** The count that is sent instead of the true one. */
  readonly totalCount?: number | undefined;
  /** Deletes the organization, once, after this page was answered. */
  readonly deleteAfter?: { readonly page: number; readonly orgId: string } | undefined;
  /** The odd items of the list, by id in lower case. */
  readonly items?: Readonly<Record<string, OddItem>> | undefined;
}

export const ODD_ITEMS = ['null', 'no_id', 'no_name', 'twice'] as const;
export type OddItem = (typeof ODD_ITEMS)[number];

/** Returns the keys in the order in which their organizations are served, some of them twice. */
export function orderList(keys: readonly string[], { ignoreSort, items }: ListFaults): readonly string[] {
  const ordered = ignoreSort ? keys.toSorted((a, b) => hashText(a) - hashText(b)) : keys;
  if (items === undefined) return ordered;
  return ordered.flatMap((key) => (items[key] === 'twice' ? [key, key] : [key]));
}

/** Returns an organization as the list shows it. */
export function spoilItem(body: Body, org: Org, { items }: ListFaults): Body | null {
  const odd = items?.[org.key];
  if (odd === 'null') return null;
  if (odd === 'no_id') return { ...body, id: undefined, orgId: undefined };
  return odd === 'no_name' ? { ...body, name: undefined } : body;
}

/** Deletes the organizations that are to be deleted after this page. */
export function followPage(world: World, page: number): void {
  const { deleteAfter, ...rest } = world.config.list;
  if (deleteAfter?.page !== page) return;
  world.config.list = rest;
  const org = world.population.find(deleteAfter.orgId);
  if (org !== undefined) world.population.remove(org);
}
