import { attributesFor, type OrgAttributes, type OrgTrait, type Origin, traitsAt } from './attributes.ts';
import { DAY_MS, dayOf } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';
import { profileFor, type UsageProfile } from './profile.ts';

export interface Org {
  /** The id in lower case: the key everywhere inside. */
  readonly key: string;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  /** Day of a month (1–28) on which its billing period begins. */
  readonly billingDay: number;
  readonly profile: UsageProfile;
  readonly deviceCountAtCreation: number;
  attributes: OrgAttributes;
  deleted: boolean;
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

/** The organizations of one instance, deleted ones included. */
export interface Population {
  /** By id in any case; deleted ones too. */
  find(id: string): Org | undefined;
  /** Those that are not deleted, by id. */
  living(): readonly Org[];
  /** All of them, by id. */
  all(): readonly Org[];
  /** Null when the id is taken. */
  add(org: NewOrg, nowMs: number): Org | null;
  remove(org: Org): void;
  /** Rises with every organization added or removed. */
  version(): number;
}

/** `hostile`: with names, ids and sizes that are valid and that nobody expects. */
export function createPopulation(seed: string, count: number, hostile: boolean): Population {
  const byKey = new Map<string, Org>();
  let version = 0;
  let sorted: { all: Org[]; living: Org[]; version: number } | null = null;
  const lists = () => {
    if (sorted?.version !== version) {
      const all = [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      sorted = { all, living: all.filter((org) => !org.deleted), version };
    }
    return sorted;
  };
  for (let index = 0; index < count; index++) {
    const org = seededOrg(seed, index, hostile);
    byKey.set(org.key, org);
  }
  return {
    find: (id) => byKey.get(id.toLowerCase()),
    living: () => lists().living,
    all: () => lists().all,
    add(wanted, atMs) {
      const org = addedOrg({ seed, hostile, index: byKey.size }, wanted, atMs);
      if (byKey.has(org.key)) return null;
      byKey.set(org.key, org);
      version++;
      return org;
    },
    remove(org) {
      org.deleted = true;
      version++;
    },
    version: () => version,
  };
}

function seededOrg(seed: string, index: number, hostile: boolean): Org {
  const salt = hashText(`${seed}|org|${index}`);
  const traits = traitsAt(seed, index, hostile);
  const key = (0x55000000 + (salt % 0x12000000)).toString(16) + hexFor(`${seed}|org|${index}`, 16);
  const createdMs = creationOf(salt);
  const size = traits.includes('large') || traits.includes('maximal') ? 1.05 : undefined;
  const profile = profileFor(seed, key, {
    createdDay: dayOf(createdMs),
    idle: traits.includes('idle'),
    maximal: traits.includes('maximal'),
    size,
  });
  const origin = { traits, createdMs, hostile, profile };
  return orgOf(key, origin, attributesFor(seed, key, index, origin));
}

function addedOrg(
  { seed, hostile, index }: { seed: string; hostile: boolean; index: number },
  wanted: NewOrg,
  nowMs: number,
): Org {
  const createdMs = wanted.createdMs ?? nowMs;
  const key = (wanted.id ?? newKey(seed, index, createdMs)).toLowerCase();
  const profile = profileFor(seed, key, {
    createdDay: dayOf(createdMs),
    idle: wanted.idle,
    size: wanted.size,
  });
  const origin = { traits: [], createdMs, hostile, profile };
  const made = attributesFor(seed, key, index, origin);
  return orgOf(key, origin, { ...made, ...wanted.attributes });
}

function orgOf(key: string, { traits, createdMs, profile }: Origin, attributes: OrgAttributes): Org {
  const billingDay = 1 + (profile.salt % 28);
  const deviceCountAtCreation = profile.idle ? 0 : profile.devices;
  return { key, traits, createdMs, billingDay, profile, deviceCountAtCreation, attributes, deleted: false };
}

/** Ids begin with a time in seconds, like those of the platform: later organizations sort last. */
function newKey(seed: string, index: number, createdMs: number): string {
  const seconds = Math.floor(createdMs / 1000).toString(16);
  return seconds.padStart(8, '0').slice(-8) + hexFor(`${seed}|added|${index}`, 16);
}

/** Years ago, so that every day anyone asks for lies in its life; younger ones are added by control. */
function creationOf(salt: number): number {
  return (18_000 + (mix(salt, 3) % 1800)) * DAY_MS + Math.floor(fraction(salt, 1) * DAY_MS);
}
