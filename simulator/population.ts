import { attributesFor, type OrgAttributes, type OrgTrait, type Origin, traitsAt } from './attributes.ts';
import { DAY_MS, dayOf } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';
import { profileFor, type UsageProfile } from './profile.ts';

export interface Org {
  /** The id in lower case: the key everywhere inside. */
  readonly key: string;
  /** In the order in which they were made, from 0. */
  readonly number: number;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  /** Day of a month (1–28) on which its billing period begins. */
  readonly billingDay: number;
  readonly profile: UsageProfile;
  readonly deviceCountAtCreation: number;
  readonly attributes: OrgAttributes;
  readonly deleted: boolean;
}

/** What a caller may fix about an organization it adds; the rest comes from the seed. */
export interface NewOrg {
  readonly id?: string | undefined;
  readonly createdMs?: number | undefined;
  readonly idle?: boolean | undefined;
  /** 0 tiny … 1 largest. */
  readonly size?: number | undefined;
  readonly attributes?: Partial<OrgAttributes> | undefined;
}

/**
 * The organizations of one instance, deleted ones included. Only their keys are
 * held: one that nobody added or changed is computed from the seed when it is
 * asked for, so that a million of them fit into memory.
 */
export interface Population {
  /** By id in any case; deleted ones too. */
  find(id: string): Org | undefined;
  /** Those of the keys that exist, one at a time. */
  each(keys: readonly string[]): Iterable<Org>;
  /** Keys of those that are not deleted, sorted. */
  living(): readonly string[];
  /** Keys of all of them, sorted. */
  all(): readonly string[];
  /** Null when the id is taken. */
  add(org: NewOrg, nowMs: number): Org | null;
  /** Returns the organization as it is from now on. */
  change(org: Org, attributes: OrgAttributes): Org;
  remove(org: Org): void;
  /** Rises with every organization added or removed. */
  version(): number;
}

/** Computed organizations that are remembered at least; at most twice as many. Some 4 kB each. */
const REMEMBERED = 10_000;

/** `hostile`: with names, ids and sizes that are valid and that nobody expects. */
export function createPopulation(seed: string, count: number, hostile: boolean): Population {
  const numbers = new Map<string, number>();
  for (let number = 0; number < count; number++) numbers.set(keyAt(seed, number).key, number);
  /** Those that were added, changed or deleted. */
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
    version: () => version,
  };
}

/** Remembers what was computed last: two generations of `size`, the older one is dropped as a whole. */
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

/** The key of the organization made as number `number`, and the salt that it follows from. */
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

/** Attributes are computed when they are asked for: most requests are about usage. */
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

/** Ids begin with a time in seconds, like those of the platform: later organizations sort last. */
function newKey(seed: string, number: number, createdMs: number): string {
  const seconds = Math.floor(createdMs / 1000).toString(16);
  return seconds.padStart(8, '0').slice(-8) + hexFor(`${seed}|added|${number}`, 16);
}

/** Years ago, so that every day anyone asks for lies in its life; younger ones are added by control. */
function creationOf(salt: number): number {
  return (18_000 + (mix(salt, 3) % 1800)) * DAY_MS + Math.floor(fraction(salt, 1) * DAY_MS);
}
