import { mix } from './hash.ts';

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
const COMPANIES: readonly string[] = [
  ...['Acme', 'Alder', 'Beacon', 'Blue Harbor', 'Brightwell', 'Cascade', 'Clearwater', 'Copper Hill'],
  ...['Delta', 'Evergreen', 'Fairbanks', 'Granite', 'Hawthorne', 'Ironbridge', 'Juniper', 'Kestrel'],
  ...['Lakeside', 'Meridian', 'Northwind', 'Oakfield', 'Pinnacle', 'Riverside', 'Summit', 'Westbrook'],
  ...['Ångström', 'Müller', 'O’Neill', 'Señorial', 'Tōkai', 'Vega', 'Windmere', 'Zephyr'],
];
const TRADES = ['Water', 'Energy', 'Cold Chain', 'Fleet', 'Buildings', 'Agriculture', 'Mining', 'Metering'];
const ODD_NAMES: readonly string[] = [
  "Quote \" and \\ backslash, 'single'; DROP TABLE orgs; --",
  'Rockets 🚀🛰️ and families 👨‍👩‍👧‍👦',
  'Tab\there, comma, semicolon; and\nnew line',
  '<script>alert("x")</script> & Co.',
  '=SUM(A1:A9)',
  '  spaces around  ',
];

/** Returns a plausible company name, a different one for each index. */
export function plainName(index: number): string {
  const round = Math.floor(index / (COMPANIES.length * TRADES.length));
  const company = COMPANIES[(index * 7) % COMPANIES.length];
  const trade = TRADES[(index + Math.floor(index / COMPANIES.length)) % TRADES.length];
  return `${company} ${trade}${round === 0 ? '' : ` ${round + 1}`}`;
}

/** Returns a name that, now and then, breaks code that takes names for plain text. */
export function hostileName(salt: number, index: number, isLong: boolean): string {
  if (isLong) return `Long name ${'x'.repeat(244)}é`;
  const odd = index >= 3 && index % 2 === 1 ? ODD_NAMES[((index - 3) / 2) % 13] : undefined;
  if (odd !== undefined) return odd;
  return `${FIRST[salt % FIRST.length]} ${TRADES[mix(salt, 3) % TRADES.length]} ${index}`;
}
