/**
 * An organization of an instance with its attributes as last seen in Losant, and the selection of
 * those that are exported.
 */

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
  readonly isReadOnly: boolean;
  readonly disabledAt: string | null;
  readonly currentPeriodStart: string | null;
  /** The end of the billing period, exclusive: the first instant after it. */
  readonly currentPeriodEnd: string | null;
  /** The time of creation; null if unknown or in the future. */
  readonly createdAt: string | null;
}

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/** The organizations of an instance that are exported. */
export type OrgSelection =
  | {
      readonly kind: 'all';
      /** Globs of names (`*`, `?`), any of which selects; null for every name. */
      readonly names: readonly string[] | null;
      /** Tags as `key=value` or `key`, any of which selects; null for every tag. */
      readonly tags: readonly string[] | null;
      /** Ids, or globs of names, that are left out. */
      readonly exclude: readonly string[];
    }
  | { readonly kind: 'ids'; readonly orgIds: readonly string[] };

type SelectableOrg = Pick<Organization, 'orgId' | 'name' | 'tags'>;

/** Whether the selection includes the organization, by its attributes as last seen. */
export function isSelected(selection: OrgSelection, org: SelectableOrg): boolean {
  if (selection.kind === 'ids') return selection.orgIds.includes(org.orgId);
  const { names, tags, exclude } = selection;
  if (exclude.some((pattern) => pattern.toLowerCase() === org.orgId || matchesGlob(pattern, org.name))) {
    return false;
  }
  const byName = names?.some((pattern) => matchesGlob(pattern, org.name)) ?? false;
  const byTag = tags?.some((wanted) => org.tags.some((tag) => matchesTag(wanted, tag))) ?? false;
  return (names === null && tags === null) || byName || byTag;
}

function matchesTag(wanted: string, { key, value }: Tag): boolean {
  return wanted === key || wanted === `${key}=${value}`;
}

function matchesGlob(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su').test(name);
}

/** A part of all organizations, by a hash of their ids: part `index`, from 0, of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** `isLosantId` returns whether a text is an id as Losant writes it: 24 lower-case hex characters. */
export function isLosantId(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text);
}
