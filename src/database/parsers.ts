/** Parsers of values from the database. They read Postgres' text form, so pg and PGlite return the same values. */
import pg from 'pg';

type ValueParser = (text: string) => unknown;

/**
 * Parses a bigint. Stored numbers are exact, because checks limit them to 2^53 - 1. A sum above that becomes the
 * nearest double, which is good enough to show: a page must not fail for it. Billed quantities are read as text.
 */
const parseInt8: ValueParser = (text) => Number(text);

function parseDate(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new RangeError(`date ${text} from the database is not a day`);
  return text;
}

/** Returns `YYYY-MM-DDTHH:MM:SS.mmmZ`; sessions are in UTC. Truncates microseconds, so compare instants in SQL. */
function parseTimestamptz(text: string): string {
  const [, date, time, ms = ''] = /^(\d{4}-[\d-]+) ([\d:]+)(?:\.(\d{1,3})\d*)?\+00$/.exec(text) ?? [];
  if (date === undefined) throw new RangeError(`timestamptz ${text} from the database is not an instant`);
  return `${date}T${time}.${ms.padEnd(3, '0')}Z`;
}

function parseBytea(text: string): Buffer {
  if (!text.startsWith('\\x')) throw new RangeError('bytea from the database is not in hex form');
  return Buffer.from(text.slice(2), 'hex');
}

const keepText: ValueParser = (text) => text;

const TEXT_ARRAY_OID = 1009;
// The types of pg claim that a parser takes a number.
const parseTextArray = new pg.TypeOverrides().getTypeParser(TEXT_ARRAY_OID) as unknown as ValueParser;

/** Returns a parser of arrays. Nested arrays keep their shape, nulls stay null. */
function toArrayParser(parse: ValueParser): ValueParser {
  const parseElement = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(parseElement);
    return typeof value === 'string' ? parse(value) : null;
  };
  return (text) => parseElement(parseTextArray(text));
}

/** By type OID (pg_type.dat of the Postgres sources). pg and PGlite parse all other types alike. */
const TYPES: readonly (readonly [oid: number, arrayOid: number, parse: ValueParser])[] = [
  [17, 1001, parseBytea],
  [20, 1016, parseInt8],
  [1082, 1182, parseDate],
  // A timestamp without a zone is not an instant: as text, it cannot be read as local time.
  [1114, 1115, keepText],
  [1184, 1185, parseTimestamptz],
  [1700, 1231, keepText],
];

export const PARSERS: Readonly<Record<number, ValueParser>> = Object.fromEntries(
  TYPES.flatMap(([oid, arrayOid, parse]) => [
    [oid, parse],
    [arrayOid, toArrayParser(parse)],
  ]),
);
