import type { OrgAttributes } from './attributes.ts';
import { type Body, invalid, parsedJson } from './refusal.ts';

type OrgFilter = (org: OrgAttributes) => boolean;
type Test = (actual: unknown) => boolean;

const DATES = ['creationDate', 'lastUpdated', 'disabledAt'];
const FIELDS = ['id', 'memberId', 'name', 'mfaMode', 'isReadOnly', 'auditLogEnabled', 'referralId', ...DATES];

/**
 * Returns the filter for the advanced query of the organization list: $and, $or, $nor and fields with
 * operators, by the published schema. Throws a refusal for what the schema does not name.
 */
export function parseOrgQuery(text: string): OrgFilter {
  return filterFor(parsedJson(text, 'query'));
}

function filterFor(query: unknown): OrgFilter {
  const filters = Object.entries(objectIn('query', query)).map(([key, value]): OrgFilter => {
    if (key === 'tags') return tagsFilter(value);
    if (FIELDS.includes(key)) {
      const test = fieldTest(key, value);
      return (org) => test(org[key]);
    }
    if (!['$and', '$or', '$nor'].includes(key)) throw invalid('query', `${key} is not a field to query by`);
    const parts = listIn(key, value).map(filterFor);
    if (key === '$and') return (org) => parts.every((part) => part(org));
    return (org) => parts.some((part) => part(org)) === (key === '$or');
  });
  return (org) => filters.every((filter) => filter(org));
}

/** Returns the test for a value to equal, or for an object of operators that must all hold. */
function fieldTest(key: string, wanted: unknown): Test {
  const isPlain = typeof wanted !== 'object' || wanted === null;
  const { $ci = false, ...operators } = isPlain ? { $eq: wanted } : objectIn(key, wanted);
  const comparable = (value: unknown) => {
    if (typeof value !== 'string') return value ?? null;
    if (DATES.includes(key) && !Number.isNaN(Date.parse(value))) return Date.parse(value);
    return $ci === true || key === 'id' ? value.toLowerCase() : value;
  };
  const tests = Object.entries(operators).map(([name, operand]): Test => {
    const operator = OPERATORS[name];
    if (operator === undefined) throw invalid('query', `${key}.${name} is not an operator`);
    const operands = name === '$in' || name === '$nin' ? listIn(`${key}.${name}`, operand) : [operand];
    for (const each of operands) checkOperand(key, each);
    return (actual) => operator(comparable(actual), operands.map(comparable));
  });
  return (actual) => tests.every((test) => test(actual));
}

const OPERATORS: Readonly<Record<string, (actual: unknown, wanted: unknown[]) => boolean>> = {
  $eq: (actual, wanted) => wanted.includes(actual),
  $ne: (actual, wanted) => !wanted.includes(actual),
  $in: (actual, wanted) => wanted.includes(actual),
  $nin: (actual, wanted) => !wanted.includes(actual),
  $gt: (actual, [wanted]) => order(actual, wanted) > 0,
  $gte: (actual, [wanted]) => order(actual, wanted) >= 0,
  $lt: (actual, [wanted]) => order(actual, wanted) < 0,
  $lte: (actual, [wanted]) => order(actual, wanted) <= 0,
  $startsWith: (actual, [wanted]) => typeof actual === 'string' && actual.startsWith(String(wanted)),
  $endsWith: (actual, [wanted]) => typeof actual === 'string' && actual.endsWith(String(wanted)),
  $contains: (actual, [wanted]) => typeof actual === 'string' && actual.includes(String(wanted)),
};

/** Returns the sign of the difference; NaN, of which no comparison holds, for values of different types. */
function order(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return Math.sign(a - b);
  if (typeof a !== 'string' || typeof b !== 'string') return Number.NaN;
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Returns the filter for tags: `{$tagKey, $tagValue}` or `{key: value}`, bare or under $eq or $ne; null for none. */
function tagsFilter(wanted: unknown): OrgFilter {
  if (wanted === null) return ({ tags = [] }) => tags.length === 0;
  const { $eq, $ne, ...match } = objectIn('tags', wanted);
  if ($eq !== undefined) return tagsFilter($eq);
  if ($ne !== undefined) {
    const filter = tagsFilter($ne);
    return (org) => !filter(org);
  }
  const { $tagKey, $tagValue, ...values } = match;
  const unknown = Object.keys(values).find((key) => key.startsWith('$'));
  if (unknown !== undefined) throw invalid('query', `tags.${unknown} is not an operator`);
  const pairs = Object.entries(values).map(([key, value]) => [textTest(key), textTest(value)] as const);
  if ($tagKey !== undefined || $tagValue !== undefined) pairs.push([textTest($tagKey), textTest($tagValue)]);
  return ({ tags = [] }) =>
    pairs.every(([key, value]) => tags.some((tag) => key(tag.key) && value(tag.value)));
}

/** Returns the test of a tag's key or value; null and nothing stand for any. */
function textTest(wanted: unknown): Test {
  return wanted === undefined || wanted === null ? () => true : fieldTest('tags', wanted);
}

function checkOperand(key: string, value: unknown): void {
  const isId = key === 'id' || key === 'memberId';
  const isHex = typeof value === 'string' && /^[A-Fa-f\d]{24}$/.test(value);
  const fits = isId ? value === null || isHex : Object(value) !== value;
  if (!fits) throw invalid('query', `${key} must be ${isId ? '24 hex digits or null' : 'a plain value'}`);
}

function objectIn(name: string, value: unknown): Body {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject) throw invalid('query', `${name} must be an object`);
  return value as Body;
}

function listIn(name: string, value: unknown): unknown[] {
  if (Array.isArray(value) && value.length <= 100) return value;
  throw invalid('query', `${name} must be an array of at most 100`);
}
