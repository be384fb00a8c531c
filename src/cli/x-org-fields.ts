import type { OrgPatch } from '../losant/org-patch.ts';

/** What an organization can be changed in, one text for each field, e.g. `limits.device`; `tags.KEY` has all values of a key. */
export type Fields = ReadonlyMap<string, string>;

/** A field that is to change, or did; null: it is not set. */
export interface FieldChange {
  readonly field: string;
  readonly old: string | null;
  readonly new: string | null;
}

type Resource = Readonly<Record<string, unknown>>;

/** An organization with a patch done: of the maps of limits, those that the patch does not name stay. */
export function withPatch(resource: Resource, patch: OrgPatch): Resource {
  if (patch.limits === undefined) return { ...resource, ...patch };
  return { ...resource, ...patch, limits: { ...mapOf(resource['limits']), ...patch.limits } };
}

export function fieldsOf(resource: Resource): Fields {
  const fields = new Map<string, string>();
  const add = (field: string, value: unknown) => {
    const text = textOf(value);
    if (text !== '') fields.set(field, text);
  };
  for (const name of ['name', 'description', 'referralId', 'iconColor', 'mfaMode']) add(name, resource[name]);
  for (const name of ['auditLogEnabled', 'isReadOnly']) add(name, resource[name]);
  add('disabledAt', instantOf(resource['disabledAt']));
  add('whitelistedEmailDomains', resource['whitelistedEmailDomains']);
  for (const map of ['banner', 'limits']) {
    for (const [name, value] of Object.entries(mapOf(resource[map]))) add(`${map}.${name}`, value);
  }
  for (const [key, tags] of Map.groupBy(tagsOf(resource), (tag) => tag.key)) {
    add(
      `tags.${key}`,
      tags.map(({ value }) => value),
    );
  }
  return fields;
}

/** The fields in which two organizations differ, in their order. */
export function compareFields(before: Fields, after: Fields): FieldChange[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  const both = [...names].map((field) => ({
    field,
    old: before.get(field) ?? null,
    new: after.get(field) ?? null,
  }));
  return both.filter((each) => each.old !== each.new);
}

/** The tags of an organization as Losant answers it; one that is none is left out. */
export function tagsOf(resource: Resource): { key: string; value: string }[] {
  const { tags } = resource;
  if (!Array.isArray(tags)) return [];
  return tags.flatMap((tag: unknown) => {
    const { key, value } = mapOf(tag);
    return typeof key === 'string' && typeof value === 'string' ? [{ key, value }] : [];
  });
}

export function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** A date in one spelling; empty for an organization that is not disabled. */
function instantOf(value: unknown): unknown {
  if (value === false) return '';
  const ms = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(ms) ? value : new Date(ms).toISOString();
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join(', ');
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
