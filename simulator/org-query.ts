import { z } from 'zod';
import type { OrgAttributes, Tag } from './attributes.ts';
import { checked, parsedJson } from './refusal.ts';

/** The most values in a list, and the most parts of an $and, $or or $nor. */
const MOST = 100;

const plain = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const id = z
  .string()
  .regex(/^[A-Fa-f\d]{24}$/)
  .nullable();
const text = z.string().min(1);

const comparisonsOf = <T extends z.ZodType>(value: T) => ({
  $eq: value,
  $ne: value,
  $gt: value,
  $lt: value,
  $gte: value,
  $lte: value,
  $in: z.array(value).max(MOST),
  $nin: z.array(value).max(MOST),
});
const textOperators = { $startsWith: text, $endsWith: text, $contains: text, $ci: z.boolean() };

const field = z.union([plain, z.strictObject({ ...comparisonsOf(plain), ...textOperators }).partial()]);
const idField = z.union([id, z.strictObject(comparisonsOf(id)).partial()]);

const tagTexts = z.array(z.string().max(255)).max(MOST);
const tagText = z.union([
  z.string().max(255).nullable(),
  z.strictObject({ $in: tagTexts }),
  z.strictObject({ $nin: tagTexts }),
]);
/** The pairs of which an organization must have one tag each; null for one that has no tags. */
const tagMatch = z.union([
  z.null(),
  z
    .strictObject({ $tagKey: tagText, $tagValue: tagText })
    .partial()
    .transform(({ $tagKey, $tagValue }) => [{ key: $tagKey, value: $tagValue }]),
  z
    .record(z.string().regex(/^[0-9a-zA-Z_-]{1,255}/), tagText)
    .transform((values) => Object.entries(values).map(([key, value]) => ({ key, value }))),
]);
const tagField = z.union([
  tagMatch.transform((pairs) => ({ pairs, isNegated: false })),
  z.strictObject({ $eq: tagMatch }).transform(({ $eq }) => ({ pairs: $eq, isNegated: false })),
  z.strictObject({ $ne: tagMatch }).transform(({ $ne }) => ({ pairs: $ne, isNegated: true })),
]);

/** The advanced query of the organization list, by its published schema. */
const orgQuery = z.strictObject({
  get $and() {
    return z.array(orgQuery).max(MOST).optional();
  },
  get $or() {
    return z.array(orgQuery).max(MOST).optional();
  },
  get $nor() {
    return z.array(orgQuery).max(MOST).optional();
  },
  id: idField.optional(),
  memberId: idField.optional(),
  name: field.optional(),
  mfaMode: field.optional(),
  isReadOnly: field.optional(),
  auditLogEnabled: field.optional(),
  disabledAt: field.optional(),
  referralId: field.optional(),
  creationDate: field.optional(),
  lastUpdated: field.optional(),
  tags: tagField.optional(),
});

type OrgQuery = z.output<typeof orgQuery>;

/** Returns the filter for the text of `query`. Throws a refusal for what the schema does not allow. */
export function parseOrgQuery(queryText: string): (org: OrgAttributes) => boolean {
  const query = checked(orgQuery, parsedJson(queryText, 'query'));
  return (org) => matches(query, org);
}

function matches({ $and = [], $or, $nor = [], tags, ...fields }: OrgQuery, org: OrgAttributes): boolean {
  return (
    $and.every((part) => matches(part, org)) &&
    ($or === undefined || $or.some((part) => matches(part, org))) &&
    !$nor.some((part) => matches(part, org)) &&
    (tags === undefined || matchesTags(tags, org.tags ?? [])) &&
    Object.entries(fields).every(([name, wanted]) => matchesField(name, wanted, org[name]))
  );
}

const DATES = ['creationDate', 'lastUpdated', 'disabledAt'];

/** Whether a value equals the wanted one, or fulfils all of the operators. */
function matchesField(name: string, wanted: z.output<typeof field> | undefined, actual: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null)
    return matchesField(name, { $eq: wanted ?? null }, actual);
  const { $ci = false, ...operators } = wanted;
  const lower = (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value);
  const folded = (value: unknown) => ($ci || name === 'id' ? lower(value) : value);
  const comparable = (value: unknown) => (DATES.includes(name) ? toInstant(value) : folded(value)) ?? null;
  return Object.entries(operators).every(([operator, operand]) => {
    const compare = TEXT_OPERATORS[operator];
    if (compare !== undefined) {
      return typeof actual === 'string' && compare(String(folded(actual)), String(folded(operand)));
    }
    const operands = Array.isArray(operand) ? operand : [operand];
    return COMPARISONS[operator]?.(comparable(actual), operands.map(comparable)) ?? true;
  });
}

const TEXT_OPERATORS: Readonly<Record<string, (actual: string, wanted: string) => boolean>> = {
  $startsWith: (actual, wanted) => actual.startsWith(wanted),
  $endsWith: (actual, wanted) => actual.endsWith(wanted),
  $contains: (actual, wanted) => actual.includes(wanted),
};

const COMPARISONS: Readonly<Record<string, (actual: unknown, wanted: unknown[]) => boolean>> = {
  $eq: (actual, wanted) => wanted.includes(actual),
  $ne: (actual, wanted) => !wanted.includes(actual),
  $in: (actual, wanted) => wanted.includes(actual),
  $nin: (actual, wanted) => !wanted.includes(actual),
  $gt: (actual, [wanted]) => order(actual, wanted) > 0,
  $gte: (actual, [wanted]) => order(actual, wanted) >= 0,
  $lt: (actual, [wanted]) => order(actual, wanted) < 0,
  $lte: (actual, [wanted]) => order(actual, wanted) <= 0,
};

/** Returns the sign of the difference; NaN, of which no comparison holds, for values of different types. */
function order(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return Math.sign(a - b);
  if (typeof a !== 'string' || typeof b !== 'string') return Number.NaN;
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Returns a date as ms, so that ISO text and ms compare. */
function toInstant(value: unknown): unknown {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? value : ms;
}

function matchesTags({ pairs, isNegated }: z.output<typeof tagField>, tags: readonly Tag[]): boolean {
  const isMatch =
    pairs === null
      ? tags.length === 0
      : pairs.every(({ key, value }) =>
          tags.some((tag) => matchesTagText(key, tag.key) && matchesTagText(value, tag.value)),
        );
  return isMatch !== isNegated;
}

/** Whether a key or value is the wanted one; null and nothing stand for any. */
function matchesTagText(wanted: z.output<typeof tagText> | undefined, actual: string): boolean {
  if (wanted === undefined || wanted === null) return true;
  if (typeof wanted === 'string') return wanted === actual;
  return '$in' in wanted ? wanted.$in.includes(actual) : !wanted.$nin.includes(actual);
}
