import { isoMs } from './calendar.ts';
import { fraction, hashText, hexFor, mix } from './hash.ts';

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/** An organization as the API serves it, without what changes by itself (period, links, etag). */
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
  readonly banner?: { readonly message?: string; readonly level?: string };
}

/** What makes an organization special; each is worn by one of the first ten, and by some of the others. */
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

/** Traits of the organization made as number `index`; those of CHANCE may also come by chance. */
export function traitsAt(seed: string, index: number): OrgTrait[] {
  const planned = PLANNED_TRAITS[index];
  if (planned !== undefined) return [...planned];
  const salt = hashText(`${seed}|traits|${index}`);
  return CHANCE.filter(([, oneIn], i) => mix(salt, i) % oneIn === 0).map(([trait]) => trait);
}

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

const FIRST = [
  'Northwind',
  'Acme',
  'Blue Harbor',
  'Kestrel',
  'Ümlaut & Söhne',
  'Пример',
  '東京センサー',
  'O’Neill',
];
const SECOND = ['Water', 'Energy', 'Cold Chain', 'Fleet', 'Buildings', 'Agriculture', 'Mining', 'Metering'];
const ODD_NAMES: readonly string[] = [
  "Quote \" and \\ backslash, 'single'; DROP TABLE orgs; --",
  'Rockets 🚀🛰️ and families 👨‍👩‍👧‍👦',
  'Tab\there, comma, semicolon; and\nnew line',
  '<script>alert("x")</script> & Co.',
  '=SUM(A1:A9)',
  '  spaces around  ',
];

/** The attributes the organization `key` has when nobody changed them: pure. */
export function attributesFor(
  seed: string,
  key: string,
  index: number,
  { traits, createdMs }: { traits: readonly OrgTrait[]; createdMs: number },
): OrgAttributes {
  const id = traits.includes('upper_case_id') ? key.toUpperCase() : key;
  const salt = hashText(`${seed}|attributes|${key}`);
  const name = nameFor(salt, index, traits);
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
    limits: {
      device: 10 ** (2 + (salt % 4)),
      payload: 10 ** (5 + (salt % 4)),
      notebookMinutesPerMonth: 1000,
    },
    disabledAt: traits.includes('disabled') ? isoMs(createdMs + 90 * 86_400_000) : false,
    isReadOnly: traits.includes('read_only'),
    auditLogEnabled: salt % 2 === 0,
    mfaMode: 'notRequired',
  };
}

function nameFor(salt: number, index: number, traits: readonly OrgTrait[]): string {
  if (traits.includes('long_name')) return `Long name ${'x'.repeat(244)}é`;
  const odd = index >= 3 && index % 2 === 1 ? ODD_NAMES[((index - 3) / 2) % 13] : undefined;
  if (odd !== undefined) return odd;
  return `${FIRST[salt % FIRST.length]} ${SECOND[mix(salt, 3) % SECOND.length]} ${index}`;
}

function tagsFor(salt: number, index: number, traits: readonly OrgTrait[]): Tag[] {
  const tags: Tag[] = [
    { key: 'region', value: ['eu', 'us', 'apac'][salt % 3] ?? 'eu' },
    { key: 'account_number', value: String(10_000 + index) },
  ];
  if (!traits.includes('repeated_tags')) return tags;
  return [...tags, { key: 'region', value: 'Überall "und" nirgends 🌍' }, { key: 'region', value: 'eu' }];
}
