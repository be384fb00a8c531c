import { createAttributes, getTraits, type OrgAttributes, type OrgTrait, type Origin } from './attributes.ts';
import { DAY_MS, dayOf } from './calendar.ts';
import { fraction, hashText, mix, toHex } from './hash.ts';
import { createProfile, type UsageProfile } from './profile.ts';

export interface Org {
  /** The ID in lower case. */
  readonly key: string;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  readonly profile: UsageProfile;
  readonly attributes: OrgAttributes;
  readonly deleted: boolean;
}

/** The properties of a new organization that a test may choose; the others come from the seed. */
export interface NewOrg {
  readonly id?: string | undefined;
  readonly createdMs?: number | undefined;
  /** From 0, tiny, to 1, largest. */
  readonly size?: number | undefined;
  readonly attributes?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The organizations of one instance, including deleted ones. One that no test has added or changed is computed from the
 * seed on each request, so that a million of them fit into memory.
 */
export class Organizations {
  readonly #seed: string;
  readonly #hostile: boolean;
  /** The sequence numbers of creation by key. */
  readonly #indexes = new Map<string, number>();
  /** The organizations that a test has added, changed or deleted. */
  readonly #storedOrgs = new Map<string, Org>();
  #existingKeys: string[] | null = null;

  /** Creates organizations. `hostile` gives them names, IDs and sizes that are valid but unusual. */
  constructor(seed: string, count: number, hostile: boolean) {
    this.#seed = seed;
    this.#hostile = hostile;
    for (let index = 0; index < count; index++) this.#indexes.set(computeKey(seed, index).key, index);
  }

  /** Finds an organization by its ID in any case, even if it is deleted. */
  find(id: string): Org | undefined {
    const key = id.toLowerCase();
    const index = this.#indexes.get(key);
    if (index === undefined) return undefined;
    return this.#storedOrgs.get(key) ?? createSeededOrg(this.#seed, index, this.#hostile);
  }

  /** Yields the organizations of the keys one at a time, without unknown ones. */
  *each(keys: readonly string[]): Generator<Org> {
    for (const key of keys) {
      const org = this.find(key);
      if (org !== undefined) yield org;
    }
  }

  /** Returns the keys of all organizations, including deleted ones, sorted. */
  allKeys(): string[] {
    return [...this.#indexes.keys()].sort();
  }

  /** Returns the keys of the organizations that are not deleted, sorted. */
  existingKeys(): readonly string[] {
    this.#existingKeys ??= this.allKeys().filter((key) => this.#storedOrgs.get(key)?.deleted !== true);
    return this.#existingKeys;
  }

  /** Adds an organization. Returns null if the ID is taken. */
  add(properties: NewOrg, nowMs: number): Org | null {
    const index = this.#indexes.size;
    const createdMs = properties.createdMs ?? nowMs;
    const key = properties.id?.toLowerCase() ?? createKey(this.#seed, index, createdMs);
    if (this.#indexes.has(key)) return null;
    const origin = { seed: this.#seed, key, index, traits: [], createdMs, hostile: this.#hostile };
    const org = createOrg(origin, properties.size);
    this.#indexes.set(key, index);
    return this.change(org, { attributes: { ...org.attributes, ...properties.attributes } });
  }

  /** Stores changes and returns the changed organization. */
  change(org: Org, changes: Partial<Pick<Org, 'attributes' | 'deleted'>>): Org {
    const changedOrg = { ...org, ...changes };
    this.#storedOrgs.set(org.key, changedOrg);
    this.#existingKeys = null;
    return changedOrg;
  }
}

/** Computes the key of the organization with this index, and the salt of its other properties. */
function computeKey(seed: string, index: number): { key: string; salt: number } {
  const text = `${seed}|org|${index}`;
  const salt = hashText(text);
  return { key: (0x55000000 + (salt % 0x12000000)).toString(16) + toHex(text, 16), salt };
}

/** Creates an organization that is years old, so that it exists on every requested day. */
function createSeededOrg(seed: string, index: number, hostile: boolean): Org {
  const { key, salt } = computeKey(seed, index);
  const traits = getTraits(index, hostile);
  const createdMs = (18_000 + (mix(salt, 3) % 1800)) * DAY_MS + Math.floor(fraction(salt, 1) * DAY_MS);
  const size = traits.includes('large') || traits.includes('maximal') ? 1.05 : undefined;
  return createOrg({ seed, key, index, traits, createdMs, hostile }, size);
}

function createOrg(origin: Origin, size: number | undefined): Org {
  const { seed, key, traits, createdMs } = origin;
  const profile = createProfile(seed, key, {
    createdDay: dayOf(createdMs),
    idle: traits.includes('idle'),
    maximal: traits.includes('maximal'),
    size,
  });
  return {
    key,
    traits,
    createdMs,
    profile,
    // Computed on access, because most requests are for usage.
    get attributes() {
      return createAttributes(origin, profile);
    },
    deleted: false,
  };
}

/** Creates an ID that starts with the time in seconds, as on the platform: later ones sort last. */
function createKey(seed: string, index: number, createdMs: number): string {
  const seconds = Math.floor(createdMs / 1000).toString(16);
  return seconds.padStart(8, '0').slice(-8) + toHex(`${seed}|added|${index}`, 16);
}
