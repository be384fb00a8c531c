import { DAY_MS, isoMs } from './calendar.ts';
import { fraction, hashText, mix, toHex } from './hash.ts';
import type { UsageProfile } from './profile.ts';

interface Tag {
  readonly key: string;
  readonly value: string;
}

/** The attributes that the API serves, without computed ones (period, links, etag). Tests may set any JSON. */
export interface OrgAttributes {
  readonly id: string;
  readonly name: string;
  readonly tags?: readonly Tag[];
  readonly [name: string]: unknown;
}

/** The traits of the first organizations, in order; the others have none. */
const PLANNED_TRAITS = [
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
] as const;
export type OrgTrait = (typeof PLANNED_TRAITS)[number][number];

/** Traits of real organizations. The others are valid by the schemas, but unusual. */
const ORDINARY_TRAITS: readonly OrgTrait[] = ['large', 'idle', 'disabled', 'read_only'];

export function getTraits(index: number, hostile: boolean): OrgTrait[] {
  const traits: readonly OrgTrait[] = PLANNED_TRAITS[index] ?? [];
  return traits.filter((trait) => hostile || ORDINARY_TRAITS.includes(trait));
}

/** The input from which the attributes of an organization are computed. */
export interface Origin {
  readonly seed: string;
  readonly key: string;
  readonly index: number;
  readonly traits: readonly OrgTrait[];
  readonly createdMs: number;
  readonly hostile: boolean;
}

/** Creates the attributes of an organization that nobody has changed. */
export function createAttributes(origin: Origin, profile: UsageProfile): OrgAttributes {
  const { seed, key, index, traits, createdMs, hostile } = origin;
  const id = traits.includes('upper_case_id') ? key.toUpperCase() : key;
  const salt = hashText(`${seed}|attributes|${key}`);
  const name = hostile ? createHostileName(salt, index, traits.includes('long_name')) : createName(index);
  if (traits.includes('bare')) return { id, name };
  const referral = { referralId: `CUST-${String(index).padStart(5, '0')}/${salt % 97}` };
  return {
    id,
    orgId: id,
    name,
    creationDate: isoMs(createdMs),
    lastUpdated: isoMs(createdMs + Math.floor(fraction(salt, 1) * DAY_MS)),
    description: `Organization number ${index}`,
    tags: createTags(salt, index, traits),
    ...(mix(salt, 2) % 6 === 0 ? {} : referral),
    planId: ['plan_starter', 'plan_business', 'plan_enterprise'][salt % 3],
    customerId: `cus_${toHex(`${salt}|customer`, 14)}`,
    limits: createLimits(profile),
    disabledAt: traits.includes('disabled') ? isoMs(createdMs + 90 * DAY_MS) : false,
    isReadOnly: traits.includes('read_only'),
    auditLogEnabled: salt % 2 === 0,
    mfaMode: 'notRequired',
  };
}

function createTags(salt: number, index: number, traits: readonly OrgTrait[]): Tag[] {
  const tags: Tag[] = [
    { key: 'region', value: ['eu', 'us', 'apac'][salt % 3] ?? 'eu' },
    { key: 'account_number', value: String(10_000 + index) },
  ];
  if (!traits.includes('repeated_tags')) return tags;
  return [...tags, { key: 'region', value: 'Überall "und" nirgends 🌍' }, { key: 'region', value: 'eu' }];
}

/** Creates limits for the initial size, so that growing organizations exceed them. */
function createLimits({ devices, payloadsPerDay, notebookRunsPerDay }: UsageProfile) {
  return {
    device: toLimit(devices, 100),
    payload: toLimit(payloadsPerDay * 30, 100_000),
    notebookMinutesPerMonth: toLimit(notebookRunsPerDay * 30, 1_000),
  };
}

/** Rounds up to 1, 2 or 5 times a power of ten, at least `min`. */
function toLimit(usage: number, min: number): number {
  const step = 10 ** Math.floor(Math.log10(Math.max(min, usage)));
  return ([1, 2, 5].find((times) => times * step >= usage) ?? 10) * step;
}

const COMPANIES = (
  'Acme|Alder|Beacon|Blue Harbor|Brightwell|Cascade|Clearwater|Copper Hill|Delta|Evergreen|Fairbanks|Granite|' +
  'Hawthorne|Ironbridge|Juniper|Kestrel|Lakeside|Meridian|Northwind|Oakfield|Pinnacle|Riverside|Summit|' +
  'Westbrook|Ångström|Müller|O’Neill|Señorial|Tōkai|Vega|Windmere|Zephyr'
).split('|');
const TRADES = 'Water|Energy|Cold Chain|Fleet|Buildings|Agriculture|Mining|Metering'.split('|');

/** Creates a plausible company name, different for each index. */
function createName(index: number): string {
  const round = Math.floor(index / (COMPANIES.length * TRADES.length));
  const company = COMPANIES[(index * 7) % COMPANIES.length];
  const trade = TRADES[(index + Math.floor(index / COMPANIES.length)) % TRADES.length];
  return `${company} ${trade}${round === 0 ? '' : ` ${round + 1}`}`;
}

const FOREIGN = 'Northwind|Acme|Blue Harbor|Kestrel|Ümlaut & Söhne|Пример|東京センサー|O’Neill'.split('|');
const ODD_NAMES: readonly string[] = [
  "Quote \" and \\ backslash, 'single'; DROP TABLE orgs; --",
  'Rockets 🚀🛰️ and families 👨‍👩‍👧‍👦',
  'Tab\there, comma, semicolon; and\nnew line',
  '<script>alert("x")</script> & Co.',
  '=SUM(A1:A9)',
  '  spaces around  ',
];

/** Creates a name. Some break code that does not escape names. */
function createHostileName(salt: number, index: number, isLong: boolean): string {
  if (isLong) return `Long name ${'x'.repeat(244)}é`;
  const odd = index >= 3 && index % 2 === 1 ? ODD_NAMES[((index - 3) / 2) % 13] : undefined;
  return odd ?? `${FOREIGN[salt % FOREIGN.length]} ${TRADES[mix(salt, 3) % TRADES.length]} ${index}`;
}
