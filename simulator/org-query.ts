import { z } from 'zod';
import type { OrgAttributes, Tag } from './attributes.ts';
import { checked, parsedJson } from './refusal.ts';

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
  $in: z.array(value).max(100),
  $nin: z.array(value).max(100),
});
const textOperators = { $startsWith: text, $endsWith: text, $contains: text, $ci: z.boolean() };
const fieldOperators = z.strictObject({ ...comparisonsOf(plain), ...textOperators }).partial();
const field = z.union([plain, fieldOperators]);
const idField = z.union([id, z.strictObject(comparisonsOf(id)).partial()]);

const tagTexts = z.array(z.string().max(255)).max(100);
const tagText = z.union([
  z.string().max(255).nullable(),
  z.strictObject({ $in: tagTexts }),
  z.strictObject({ $nin: tagTexts }),
]);
const tagPair = z.strictObject({ $tagKey: tagText, $tagValue: tagText }).partial();
const tagValues = z.record(z.string().regex(/^[0-9a-zA-Z_-]{1,255}/), tagText);

/** The pairs of which an organization must have one tag each; null for one that has no tags. */
const tagMatch = z.union([
  z.null(),
  tagPair.transform(({ $tagKey, $tagValue }) => [{ key: $tagKey, value: $tagValue }]),
  tagValues.transform((values) => Object.entries(values).map(([key, value]) => ({ key, value }))),
]);
const tagField = z.union([
  tagMatch.transform((pairs) => ({ pairs, isNegated: false })),
  z.strictObject({ $eq: tagMatch }).transform(({ $eq }) => ({ pairs: $eq, isNegated: false })),
  z.strictObject({ $ne: tagMatch }).transform(({ $ne }) => ({ pairs: $ne, isNegated: true })),
]);

/** The advanced query of the organization list, by its published schema. */
const orgQuery = z.strictObject({
  get $and() {
    return z.array(orgQuery).max(100).optional();
  },
  get $or() {
    return z.array(orgQuery).max(100).optional();
  },
  get $nor() {
    return z.array(orgQuery).max(100).optional();
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

/** Returns the filter for the text of `query`. Throws a refusal for what the schema does not allow. */
export function parseOrgQuery(queryText: string): (org: OrgAttributes) => boolean {
  const query = checked(orgQuery, parsedJson(queryText, 'query'));
  return (org) => matches(query, org);
}

type OrgQuery = z.output<typeof orgQuery>;

function matches({ $and = [], $or, $nor = [], tags, ...fields }: OrgQuery, org: OrgAttributes): boolean {
  return (
    $and.every((part) => matches(part, org)) &&
    $or?.some((part) => matches(part, org)) !== false &&
    !$nor.some((part) => matches(part, org)) &&
    (tags === undefined || matchesTags(tags, org.tags ?? [])) &&
    Object.entries(fields).every(([name, wanted]) => matchesField(name, wanted ?? null, org[name]))
  );
}

/** Whether a value equals the wanted one, or fulfils all of the operators. */
function matchesField(name: string, wanted: z.output<typeof field>, actual: unknown): boolean {
  const isPlain = typeof wanted !== 'object' || wanted === null;
  const { $ci = false, ...operators }: z.output<typeof fieldOperators> = isPlain ? { $eq: wanted } : wanted;
  const isDate = ['creationDate', 'lastUpdated', 'disabledAt'].includes(name);
  const comparable = (value: unknown) => {
    if (typeof value !== 'string') return value ?? null;
    if (isDate && !Number.isNaN(Date.parse(value))) return Date.parse(value);
    return $ci || name === 'id' ? value.toLowerCase() : value;
  };
  return Object.entries(operators).every(([operator, operand]) => {
    const operands = [operand].flat().map(comparable);
    return OPERATORS[operator]?.(comparable(actual), operands) === true;
  });
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

function matchesTags({ pairs, isNegated }: z.output<typeof tagField>, tags: readonly Tag[]): boolean {
  const isMatch =
    pairs?.every(({ key, value }) =>
      tags.some((tag) => matchesTagText(key, tag.key) && matchesTagText(value, tag.value)),
    ) ?? tags.length === 0;
  return isMatch !== isNegated;
}

/** Whether a key or value is the wanted one; null and nothing stand for any. */
function matchesTagText(wanted: z.output<typeof tagText> | undefined, actual: string): boolean {
  if (wanted === undefined || wanted === null) return true;
  if (typeof wanted === 'string') return wanted === actual;
  return '$in' in wanted ? wanted.$in.includes(actual) : !wanted.$nin.includes(actual);
}
