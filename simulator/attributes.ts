import { isoMs } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';
import { limitsFor } from './limits.ts';
import { hostileName, plainName } from './names.ts';
import type { UsageProfile } from './profile.ts';

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/**
 * An organization as the API serves it, without the parts that change by themselves (period, links,
 * etag).
 */
export interface OrgAttributes {
  readonly id: string;
  readonly orgId?: string;
  readonly name: string;
  readonly creationDate?: string;
  readonly lastUpdated?: string;
  readonly description?: string;
  readonly iconColor?: string;
  readonly tags?: readonly Tag[];
  readonly referralId?: string;
  readonly planId?: string;
  readonly customerId?: string;
  readonly subscriptionId?: string;
  readonly subscriptionStatus?: string;
  readonly billingEmail?: string;
  readonly limits?: Readonly<Record<string, number>>;
  readonly disabledAt?: string | false;
  readonly isReadOnly?: boolean;
  readonly auditLogEnabled?: boolean;
  readonly mfaMode?: string;
  readonly whitelistedEmailDomains?: readonly string[];
  /** The start of the billing period where it was set; otherwise it is that of the current month. */
  readonly currentPeriodStart?: string;
  readonly currentPeriodEnd?: string;
  readonly banner?: { readonly message?: string; readonly level?: string };
}

/** The special traits of organizations. Each of the first ten has one, and some of the others do. */
export type OrgTrait =
  | 'large'
  | 'maximal'
  | 'idle'
  | 'upper_case_id'
  | 'bare'
  | 'disabled'
  | 'repeated_tags'
  | 'long_name'
  | 'read_only';

/** Returns the traits of the organization with number `index`; those of CHANCE may also come by chance. */
export function traitsAt(seed: string, index: number, hostile: boolean): OrgTrait[] {
  const salt = hashText(`${seed}|traits|${index}`);
  const traits =
    PLANNED_TRAITS[index] ??
    CHANCE.filter(([, oneIn], i) => mix(salt, i) % oneIn === 0).map(([trait]) => trait);
  return traits.filter((trait) => hostile || ORDINARY.has(trait));
}

/** The traits that real organizations have; the others are merely valid by the schemas. */
const ORDINARY: ReadonlySet<OrgTrait> = new Set(['large', 'idle', 'disabled', 'read_only']);

const PLANNED_TRAITS: readonly (readonly OrgTrait[])[] = [
  ['large'],
  ['maximal'],
  ['idle'],
  ['upper_case_id'],
  ['bare'],
  ['repeated_tags', 'read_only'],
  ['disabled'],
  ['repeated_tags'],
  ['long_name', 'read_only'],
  ['upper_case_id', 'disabled'],
];

const CHANCE: readonly (readonly [OrgTrait, number])[] = [
  ['upper_case_id', 29],
  ['bare', 31],
  ['disabled', 17],
  ['repeated_tags', 7],
  ['read_only', 23],
];

/** The other inputs of an organization's attributes. */
export interface Origin {
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  readonly hostile: boolean;
  readonly profile: UsageProfile;
}

/** Returns the attributes that the organization `key` has until somebody changes them. Pure. */
export function attributesFor(
  seed: string,
  key: string,
  index: number,
  { traits, createdMs, hostile, profile }: Origin,
): OrgAttributes {
  const id = traits.includes('upper_case_id') ? key.toUpperCase() : key;
  const salt = hashText(`${seed}|attributes|${key}`);
  const name = hostile ? hostileName(salt, index, traits.includes('long_name')) : plainName(index);
  if (traits.includes('bare')) return { id, name };
  return {
    id,
    orgId: id,
    name,
    creationDate: isoMs(createdMs),
    lastUpdated: isoMs(createdMs + Math.floor(fraction(salt, 1) * 86_400_000)),
    description: `Organization number ${index}`,
    iconColor: `#${hexFor(`${salt}|color`, 6)}`,
    tags: tagsFor(salt, index, traits),
    ...(mix(salt, 2) % 6 === 0 ? {} : { referralId: `CUST-${String(index).padStart(5, '0')}/${salt % 97}` }),
    planId: ['plan_starter', 'plan_business', 'plan_enterprise'][salt % 3] ?? 'plan_starter',
    customerId: `cus_${hexFor(`${salt}|customer`, 14)}`,
    subscriptionId: `sub_${hexFor(`${salt}|subscription`, 14)}`,
    subscriptionStatus: 'active',
    billingEmail: `billing+${index}@example.com`,
    limits: limitsFor(profile),
    disabledAt: traits.includes('disabled') ? isoMs(createdMs + 90 * 86_400_000) : false,
    isReadOnly: traits.includes('read_only'),
    auditLogEnabled: salt % 2 === 0,
    mfaMode: 'notRequired',
  };
}

function tagsFor(salt: number, index: number, traits: readonly OrgTrait[]): Tag[] {
  const tags: Tag[] = [
    { key: 'region', value: ['eu', 'us', 'apac'][salt % 3] ?? 'eu' },
    { key: 'account_number', value: String(10_000 + index) },
  ];
  if (!traits.includes('repeated_tags')) return tags;
  return [...tags, { key: 'region', value: 'Überall "und" nirgends 🌍' }, { key: 'region', value: 'eu' }];
}
