import { attributesFor, type OrgAttributes, type OrgTrait, type Origin, traitsAt } from './attributes.ts';
import { DAY_MS, dayOf } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';
import { profileFor, type UsageProfile } from './profile.ts';

export interface Org {
  /** The id in lower case, the key everywhere inside. */
  readonly key: string;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  readonly profile: UsageProfile;
  readonly attributes: OrgAttributes;
  readonly deleted: boolean;
}

/** The properties a caller may choose for an organization it adds; the rest comes from the seed. */
export interface NewOrg {
  readonly id?: string | undefined;
  readonly createdMs?: number | undefined;
  /** From 0, tiny, to 1, largest. */
  readonly size?: number | undefined;
  readonly attributes?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The organizations of one instance, including deleted ones. One that nobody added or changed is
 * computed from the seed whenever it is asked for, so that a million of them fit into memory.
 */
export class Organizations {
  readonly #seed: string;
  readonly #hostile: boolean;
  /** The numbers of the organizations, in the order of their creation, by key. */
  readonly #numbers = new Map<string, number>();
  /** The organizations that were added, changed or deleted. */
  readonly #changed = new Map<string, Org>();
  #living: string[] | null = null;

  /** Creates so many organizations. `hostile` gives them names, ids and sizes that are valid but unexpected. */
  constructor(seed: string, count: number, hostile: boolean) {
    this.#seed = seed;
    this.#hostile = hostile;
    for (let index = 0; index < count; index++) this.#numbers.set(keyAt(seed, index).key, index);
  }

  /** Returns the organization by its id in any case, even if it is deleted. */
  find(id: string): Org | undefined {
    const key = id.toLowerCase();
    const index = this.#numbers.get(key);
    if (index === undefined) return undefined;
    return this.#changed.get(key) ?? seededOrg(this.#seed, index, this.#hostile);
  }

  /** Yields the organizations of the keys that exist, one at a time. */
  *each(keys: readonly string[]): Generator<Org> {
    for (const key of keys) {
      const org = this.find(key);
      if (org !== undefined) yield org;
    }
  }

  /** Returns the keys of all organizations, sorted. */
  all(): string[] {
    return [...this.#numbers.keys()].sort();
  }

  /** Returns the keys of the organizations that are not deleted, sorted. */
  living(): readonly string[] {
    this.#living ??= this.all().filter((key) => this.#changed.get(key)?.deleted !== true);
    return this.#living;
  }

  /** Adds an organization. Returns null if the id is taken. */
  add(wanted: NewOrg, nowMs: number): Org | null {
    const index = this.#numbers.size;
    const createdMs = wanted.createdMs ?? nowMs;
    const key = wanted.id?.toLowerCase() ?? newKey(this.#seed, index, createdMs);
    if (this.#numbers.has(key)) return null;
    const origin = { seed: this.#seed, key, index, traits: [], createdMs, hostile: this.#hostile };
    const made = computedOrg(origin, wanted.size);
    this.#numbers.set(key, index);
    return this.change(made, { attributes: { ...made.attributes, ...wanted.attributes } });
  }

  /** Returns the organization as it is from now on. */
  change(org: Org, changes: Partial<Pick<Org, 'attributes' | 'deleted'>>): Org {
    const changed = { ...org, ...changes };
    this.#changed.set(org.key, changed);
    this.#living = null;
    return changed;
  }
}

/** Returns the key of the organization with this number, and the salt that it follows from. */
function keyAt(seed: string, index: number): { key: string; salt: number } {
  const text = `${seed}|org|${index}`;
  const salt = hashText(text);
  return { key: (0x55000000 + (salt % 0x12000000)).toString(16) + hexFor(text, 16), salt };
}

/** Returns an organization created years ago, so that every day asked for lies within its life. */
function seededOrg(seed: string, index: number, hostile: boolean): Org {
  const { key, salt } = keyAt(seed, index);
  const traits = traitsAt(index, hostile);
  const createdMs = (18_000 + (mix(salt, 3) % 1800)) * DAY_MS + Math.floor(fraction(salt, 1) * DAY_MS);
  const size = traits.includes('large') || traits.includes('maximal') ? 1.05 : undefined;
  return computedOrg({ seed, key, index, traits, createdMs, hostile }, size);
}

function computedOrg(origin: Origin, size: number | undefined): Org {
  const { seed, key, traits, createdMs } = origin;
  const profile = profileFor(seed, key, {
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
    // Computed when asked for, because most requests are about usage.
    get attributes() {
      return attributesFor(origin, profile);
    },
    deleted: false,
  };
}

/** Returns a new id, which begins with a time in seconds like those of the platform: later ones sort last. */
function newKey(seed: string, index: number, createdMs: number): string {
  const seconds = Math.floor(createdMs / 1000).toString(16);
  return seconds.padStart(8, '0').slice(-8) + hexFor(`${seed}|added|${index}`, 16);
}
