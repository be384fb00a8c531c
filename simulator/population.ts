import { attributesFor, type OrgAttributes, type OrgTrait, type Origin, traitsAt } from './attributes.ts';
import { DAY_MS, dayOf } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';
import { profileFor, type UsageProfile } from './profile.ts';

export interface Org {
  /** The id in lower case, the key everywhere inside. */
  readonly key: string;
  /** The number of the organization in the order of creation, from 0. */
  readonly number: number;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  /** The day of a month (1–28) on which its billing period begins. */
  readonly billingDay: number;
  readonly profile: UsageProfile;
  readonly deviceCountAtCreation: number;
  readonly attributes: OrgAttributes;
  readonly deleted: boolean;
}

/** The properties a caller may choose for an organization it adds; the rest comes from the seed. */
export interface NewOrg {
  readonly id?: string | undefined;
  readonly createdMs?: number | undefined;
  readonly idle?: boolean | undefined;
  /** From 0, tiny, to 1, largest. */
  readonly size?: number | undefined;
  readonly attributes?: Partial<OrgAttributes> | undefined;
}

/**
 * The organizations of one instance, including deleted ones. Only their keys are kept. An organization
 * that nobody added or changed is computed from the seed when it is asked for, so that a million of
 * them fit into memory.
 */
export interface Population {
  /** Returns the organization by id in any case, even if deleted. */
  find(id: string): Org | undefined;
  /** Yields the organizations of the keys that exist, one at a time. */
  each(keys: readonly string[]): Iterable<Org>;
  /** Returns the keys of the organizations that are not deleted, sorted. */
  living(): readonly string[];
  /** Returns the keys of all organizations, sorted. */
  all(): readonly string[];
  /** Adds an organization. Returns null if the id is taken. */
  add(org: NewOrg, nowMs: number): Org | null;
  /** Returns the organization as it is from now on. */
  change(org: Org, attributes: OrgAttributes): Org;
  remove(org: Org): void;
  /** Takes back a removal. */
  restore(org: Org): void;
  /** Returns a number that rises with every organization added or removed. */
  version(): number;
}

/** The number of computed organizations remembered, at least; at most twice as many. Each takes some 4 kB. */
const REMEMBERED = 10_000;

/** Creates the population. `hostile` gives it names, ids and sizes that are valid but unexpected. */
export function createPopulation(seed: string, count: number, hostile: boolean): Population {
  const numbers = new Map<string, number>();
  for (let number = 0; number < count; number++) numbers.set(keyAt(seed, number).key, number);
  /** The organizations that were added, changed or deleted. */
  const kept = new Map<string, Org>();
  const computed = createMemory<Org>(REMEMBERED);
  let version = 0;
  let sorted: { all: string[]; living: string[]; version: number } | null = null;
  const lists = () => {
    if (sorted?.version !== version) {
      const all = [...numbers.keys()].sort();
      sorted = { all, living: all.filter((key) => kept.get(key)?.deleted !== true), version };
    }
    return sorted;
  };
  const find = (key: string): Org | undefined => {
    const number = numbers.get(key);
    if (number === undefined) return undefined;
    return kept.get(key) ?? computed(key, () => seededOrg(seed, number, hostile));
  };
  return {
    find: (id) => find(id.toLowerCase()),
    *each(keys) {
      for (const key of keys) {
        const org = find(key);
        if (org !== undefined) yield org;
      }
    },
    living: () => lists().living,
    all: () => lists().all,
    add(wanted, atMs) {
      const org = addedOrg({ seed, hostile, number: numbers.size }, wanted, atMs);
      if (numbers.has(org.key)) return null;
      numbers.set(org.key, org.number);
      kept.set(org.key, org);
      version++;
      return org;
    },
    change(org, attributes) {
      const changed = { ...org, attributes };
      kept.set(org.key, changed);
      return changed;
    },
    remove(org) {
      kept.set(org.key, { ...org, deleted: true });
      version++;
    },
    restore(org) {
      kept.set(org.key, { ...org, deleted: false });
      version++;
    },
    version: () => version,
  };
}

/**
 * Returns a memory of the values computed last, in two generations of `size`, of which the older is
 * dropped at once.
 */
function createMemory<T>(size: number): (key: string, compute: () => T) => T {
  let young = new Map<string, T>();
  let old = new Map<string, T>();
  return (key, compute) => {
    const known = young.get(key);
    if (known !== undefined) return known;
    const value = old.get(key) ?? compute();
    if (young.size >= size) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
    return value;
  };
}

/** Returns the key of the organization with this number, and the salt that it follows from. */
function keyAt(seed: string, number: number): { key: string; salt: number } {
  const text = `${seed}|org|${number}`;
  const salt = hashText(text);
  return { key: (0x55000000 + (salt % 0x12000000)).toString(16) + hexFor(text, 16), salt };
}

function seededOrg(seed: string, number: number, hostile: boolean): Org {
  const { key, salt } = keyAt(seed, number);
  const traits = traitsAt(seed, number, hostile);
  const createdMs = creationOf(salt);
  const size = traits.includes('large') || traits.includes('maximal') ? 1.05 : undefined;
  const profile = profileFor(seed, key, {
    createdDay: dayOf(createdMs),
    idle: traits.includes('idle'),
    maximal: traits.includes('maximal'),
    size,
  });
  const origin = { traits, createdMs, hostile, profile };
  return orgOf({ key, number }, origin, () => attributesFor(seed, key, number, origin));
}

function addedOrg(
  { seed, hostile, number }: { seed: string; hostile: boolean; number: number },
  wanted: NewOrg,
  nowMs: number,
): Org {
  const createdMs = wanted.createdMs ?? nowMs;
  const key = (wanted.id ?? newKey(seed, number, createdMs)).toLowerCase();
  const profile = profileFor(seed, key, {
    createdDay: dayOf(createdMs),
    idle: wanted.idle,
    size: wanted.size,
  });
  const origin = { traits: [], createdMs, hostile, profile };
  const made = attributesFor(seed, key, number, origin);
  return orgOf({ key, number }, origin, () => ({ ...made, ...wanted.attributes }));
}

/**
 * Returns an organization. Its attributes are computed only when they are asked for, because most
 * requests are about usage.
 */
function orgOf(
  made: Pick<Org, 'key' | 'number'>,
  { traits, createdMs, profile }: Origin,
  computeAttributes: () => OrgAttributes,
): Org {
  const billingDay = 1 + (profile.salt % 28);
  const deviceCountAtCreation = profile.idle ? 0 : profile.devices;
  let attributes: OrgAttributes | null = null;
  return {
    ...made,
    traits,
    createdMs,
    billingDay,
    profile,
    deviceCountAtCreation,
    get attributes() {
      attributes ??= computeAttributes();
      return attributes;
    },
    deleted: false,
  };
}

/**
 * Returns a new id. Ids begin with a time in seconds, like those of the platform, so later
 * organizations sort last.
 */
function newKey(seed: string, number: number, createdMs: number): string {
  const seconds = Math.floor(createdMs / 1000).toString(16);
  return seconds.padStart(8, '0').slice(-8) + hexFor(`${seed}|added|${number}`, 16);
}

/**
 * Returns a time of creation years ago, so that every day asked for lies within the organization's
 * life; control adds younger ones.
 */
function creationOf(salt: number): number {
  return (18_000 + (mix(salt, 3) % 1800)) * DAY_MS + Math.floor(fraction(salt, 1) * DAY_MS);
}
