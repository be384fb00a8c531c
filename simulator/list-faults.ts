import type { Body } from './bodies.ts';
import { hashText } from './hash.ts';
import type { Org } from './population.ts';
import type { World } from './world.ts';

/** Wrongs of the organization list; each is off unless it is named. */
export interface ListFaults {
  /** These pages come without items; `totalCount` stays. */
  readonly emptyPages?: readonly number[] | undefined;
  /** Every page is the first, though the answer names the one that was asked for. */
  readonly ignorePage?: boolean | undefined;
  /** In no order, whatever was asked for. */
  readonly ignoreSort?: boolean | undefined;
  /** Organizations that are nowhere in the list, nor in its number, by id in lower case. */
  readonly hide?: readonly string[] | undefined;
  /** Told instead of the true number. */
  readonly totalCount?: number | undefined;
  /** When this page was answered, the organization is deleted: once. */
  readonly deleteAfter?: { readonly page: number; readonly orgId: string } | undefined;
  /** How single organizations stand in the list, by id in lower case. */
  readonly items?: Readonly<Record<string, OddItem>> | undefined;
}

export const ODD_ITEMS = ['null', 'no_id', 'no_name', 'twice'] as const;
export type OddItem = (typeof ODD_ITEMS)[number];

/** The keys in the order in which their organizations are served, some of them twice. */
export function orderList(keys: readonly string[], { ignoreSort, items }: ListFaults): readonly string[] {
  const ordered = ignoreSort ? keys.toSorted((a, b) => hashText(a) - hashText(b)) : keys;
  if (items === undefined) return ordered;
  return ordered.flatMap((key) => (items[key] === 'twice' ? [key, key] : [key]));
}

/** An organization as the list tells it. */
export function spoilItem(body: Body, org: Org, { items }: ListFaults): Body | null {
  const odd = items?.[org.key];
  if (odd === 'null') return null;
  if (odd === 'no_id') return { ...body, id: undefined, orgId: undefined };
  return odd === 'no_name' ? { ...body, name: undefined } : body;
}

/** Deletes what is to be deleted once this page is answered. */
export function followPage(world: World, page: number): void {
  const { deleteAfter, ...rest } = world.config.list;
  if (deleteAfter?.page !== page) return;
  world.config.list = rest;
  const org = world.population.find(deleteAfter.orgId);
  if (org !== undefined) world.population.remove(org);
}
