import type { OrgAttributes } from './attributes.ts';
import type { Refusal } from './params.ts';

/**
 * The advanced query of the organization list, by its published schema: $and, $or, $nor over fields
 * with operators. Anything that the schema does not name is refused.
 */
export type OrgFilter = (org: OrgAttributes) => boolean;

const FIELDS = ['name', 'mfaMode', 'isReadOnly', 'auditLogEnabled', 'disabledAt', 'referralId'] as const;
const DATE_FIELDS = ['creationDate', 'lastUpdated'];
const ID_PATTERN = /^[A-Fa-f\d]{24}$/;
const ARRAY_MAX = 100;

/** Returns the filter for the text of `query`, or the reason why it is refused. */
export function parseOrgFilter(text: string): OrgFilter | Refusal {
  try {
    return filterFor(JSON.parse(text));
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'query must be JSON' : (error as Error).message;
    return { field: 'query', refusal: reason };
  }
}

/** Returns a filter for the complete value, in any case: `*` matches any characters, `?` one. */
export function globFilter(glob: string): (value: string) => boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '[^]*')
    .replace(/\?/g, '[^]');
  const regExp = new RegExp(`^${pattern}$`, 'iu');
  return (value) => regExp.test(value);
}

function filterFor(query: unknown): OrgFilter {
  const parts = Object.entries(asObject(query, 'query')).map(([key, value]): OrgFilter => {
    if (key === '$and') return all(key, value, (filters, org) => filters.every((filter) => filter(org)));
    if (key === '$or') return all(key, value, (filters, org) => filters.some((filter) => filter(org)));
    if (key === '$nor') return all(key, value, (filters, org) => !filters.some((filter) => filter(org)));
    return fieldFilter(key, value);
  });
  return (org) => parts.every((part) => part(org));
}

function all(
  key: string,
  value: unknown,
  test: (filters: OrgFilter[], org: OrgAttributes) => boolean,
): OrgFilter {
  const filters = asArray(value, key).map(filterFor);
  return (org) => test(filters, org);
}

function fieldFilter(key: string, value: unknown): OrgFilter {
  if (key === 'tags') return tagsFilter(value);
  // No simulated organization has members.
  if (key === 'id' || key === 'memberId') {
    const test = operators(key, value, idScalar, (text) => String(text).toLowerCase());
    return (org) => test(key === 'id' ? org.id : undefined);
  }
  const field = [...FIELDS, ...DATE_FIELDS].find((known) => known === key);
  if (field === undefined) throw new Error(`query: ${key} is not a field to query by`);
  const normal = DATE_FIELDS.includes(field) || field === 'disabledAt' ? toInstant : (raw: unknown) => raw;
  const test = operators(key, value, anyScalar, normal);
  return (org) => test((org as unknown as Record<string, unknown>)[field]);
}

/** Returns the filter for a value to equal, or for an object of operators that must all hold. */
function operators(
  key: string,
  value: unknown,
  check: (key: string, value: unknown) => void,
  normal: (value: unknown) => unknown,
): (actual: unknown) => boolean {
  if (typeof value !== 'object' || value === null) {
    check(key, value);
    return (actual) => same(fold(actual, normal), fold(value, normal));
  }
  const { $ci, ...given } = asObject(value, key);
  const lower = (raw: unknown) => (typeof raw === 'string' ? raw.toLowerCase() : raw);
  const norm = (raw: unknown) => ($ci === true ? lower(fold(raw, normal)) : fold(raw, normal));
  const tests = Object.entries(given).map(([name, operand]) => {
    const isText = name === '$startsWith' || name === '$endsWith' || name === '$contains';
    if (isText && (check === idScalar || typeof operand !== 'string' || operand === '')) {
      throw new Error(`query: ${key}.${name} must be text`);
    }
    if (name === '$in' || name === '$nin') {
      for (const item of asArray(operand, `${key}.${name}`)) check(key, item);
    } else if (!isText) {
      check(key, operand);
    }
    const ofText = isText ? ($ci === true ? lower : (raw: unknown) => raw) : norm;
    return operator(key, name, operand, ofText);
  });
  return (actual) => tests.every((test) => test(actual));
}

function operator(
  key: string,
  name: string,
  operand: unknown,
  norm: (value: unknown) => unknown,
): (actual: unknown) => boolean {
  const wanted = Array.isArray(operand) ? operand.map(norm) : norm(operand);
  const list = Array.isArray(wanted) ? wanted : [];
  const text = typeof wanted === 'string' ? wanted : '';
  switch (name) {
    case '$eq':
      return (actual) => same(norm(actual), wanted);
    case '$ne':
      return (actual) => !same(norm(actual), wanted);
    case '$in':
      return (actual) => list.some((one) => same(norm(actual), one));
    case '$nin':
      return (actual) => !list.some((one) => same(norm(actual), one));
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return (actual) => ordered(name, norm(actual), wanted);
    case '$startsWith':
      return (actual) => typeof actual === 'string' && String(norm(actual)).startsWith(text);
    case '$endsWith':
      return (actual) => typeof actual === 'string' && String(norm(actual)).endsWith(text);
    case '$contains':
      return (actual) => typeof actual === 'string' && String(norm(actual)).includes(text);
    default:
      throw new Error(`query: ${key}.${name} is not an operator`);
  }
}

function ordered(name: string, actual: unknown, wanted: unknown): boolean {
  const comparable =
    (typeof actual === 'string' && typeof wanted === 'string') ||
    (typeof actual === 'number' && typeof wanted === 'number');
  if (!comparable) return false;
  if (name === '$gt') return actual > wanted;
  if (name === '$gte') return actual >= wanted;
  return name === '$lt' ? actual < wanted : actual <= wanted;
}

/**
 * Returns the filter for a matching tag: `{$tagKey, $tagValue}` or `{key: value}`, bare or under $eq
 * or $ne.
 */
function tagsFilter(value: unknown): OrgFilter {
  if (value === null) return (org) => (org.tags ?? []).length === 0;
  const { $eq, $ne, ...bare } = asObject(value, 'tags');
  if ($ne !== undefined) return not(tagsFilter($ne));
  if ($eq !== undefined) return tagsFilter($eq);
  const wanted: { key: unknown; value: unknown }[] =
    '$tagKey' in bare || '$tagValue' in bare
      ? [{ key: bare['$tagKey'], value: bare['$tagValue'] }]
      : Object.entries(bare).map(([key, of]) => ({ key, value: of }));
  const tests = wanted.map((one) => ({ key: tagText(one.key), value: tagText(one.value) }));
  return (org) =>
    tests.every((test) => (org.tags ?? []).some((tag) => test.key(tag.key) && test.value(tag.value)));
}

function tagText(wanted: unknown): (text: string) => boolean {
  if (wanted === undefined || wanted === null) return () => true;
  if (typeof wanted === 'string') return (text) => text === wanted;
  const { $in, $nin, ...rest } = asObject(wanted, 'tags');
  if (Object.keys(rest).length > 0) throw new Error('query: tags take text, $in or $nin');
  if ($nin !== undefined) {
    const list = asArray($nin, 'tags.$nin');
    return (text) => !list.includes(text);
  }
  const list = asArray($in, 'tags.$in');
  return (text) => list.includes(text);
}

function not(filter: OrgFilter): OrgFilter {
  return (org) => !filter(org);
}

function fold(value: unknown, normal: (value: unknown) => unknown): unknown {
  return value === undefined || value === null ? null : normal(value);
}

/** Whether two values are equal; null and a missing value are the same. */
function same(a: unknown, b: unknown): boolean {
  return (a ?? null) === (b ?? null);
}

/** Returns a date as an instant, so that ISO text and ms compare. */
function toInstant(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? value : ms;
}

function idScalar(key: string, value: unknown): void {
  if (value !== null && !(typeof value === 'string' && ID_PATTERN.test(value))) {
    throw new Error(`query: ${key} must be 24 hex digits or null`);
  }
}

function anyScalar(key: string, value: unknown): void {
  if (value !== null && typeof value === 'object') throw new Error(`query: ${key} must be a plain value`);
}

function asObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`query: ${name} must be an object`);
  }
  return value as Record<string, unknown>;
}

function asArray(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value) || value.length > ARRAY_MAX) {
    throw new Error(`query: ${name} must be an array of at most ${ARRAY_MAX}`);
  }
  return value;
}
