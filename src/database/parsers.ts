/**
 * Parsers of the values that come out of the database. Each reads Postgres' text form, so that the
 * values are the same from pg and PGlite and in any local time zone.
 */
import pg from 'pg';

export type ValueParser = (text: string) => unknown;

/**
 * Returns a `bigint`. Stored numbers are exact: checks bound them to 2^53 - 1. A sum above it is the nearest double,
 * which is near enough to be shown and must not take a whole page from everybody. What is billed is read as text.
 */
function parseInt8(text: string): number {
  return Number(text);
}

function parseDate(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new RangeError(`date ${text} from the database is not a day`);
  return text;
}

/** Returns `YYYY-MM-DDTHH:MM:SS.mmmZ`; sessions are in UTC. Microseconds are cut off: compare in SQL. */
function parseTimestamptz(text: string): string {
  const iso = text
    .replace(' ', 'T')
    .replace(/(\.\d{3})\d*/, '$1')
    .replace(/\+00$/, 'Z');
  if (!/^\d{4}-.*Z$/.test(iso))
    throw new RangeError(`timestamptz ${text} from the database is not an instant`);
  return new Date(iso).toISOString();
}

function parseBytea(text: string): Buffer {
  if (!text.startsWith('\\x')) throw new RangeError('bytea from the database is not in hex form');
  return Buffer.from(text.slice(2), 'hex');
}

const asText: ValueParser = (text) => text;

const TEXT_ARRAY_OID = 1009;
const parseTextArray = new pg.TypeOverrides().getTypeParser(TEXT_ARRAY_OID) as unknown as ValueParser;

/** Returns a parser of arrays. Nested arrays keep their shape, nulls stay null. */
function arrayOf(parse: ValueParser): ValueParser {
  const parseElement = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(parseElement);
    return typeof value === 'string' ? parse(value) : null;
  };
  return (text) => parseElement(parseTextArray(text));
}

const parseJson: ValueParser = (text) => JSON.parse(text);

/** The parsers by type OID (pg_type.dat of the Postgres sources): the type, then its array. */
const TYPES: readonly (readonly [oid: number, arrayOid: number, parse: ValueParser])[] = [
  [17, 1001, parseBytea],
  [20, 1016, parseInt8],
  [25, 1009, asText],
  [114, 199, parseJson],
  [1043, 1015, asText],
  [1082, 1182, parseDate],
  // Without a zone it is no instant, so it stays as written and is not read as local time.
  [1114, 1115, asText],
  [1184, 1185, parseTimestamptz],
  [1700, 1231, asText],
  [2950, 2951, asText],
  [3802, 3807, parseJson],
];

export const PARSERS: Readonly<Record<number, ValueParser>> = Object.fromEntries(
  TYPES.flatMap(([oid, arrayOid, parse]) => [
    [oid, parse],
    [arrayOid, arrayOf(parse)],
  ]),
);
