import type { Problem, Setting } from './problems.ts';
import { firstDuplicate, isId, readList } from './values.ts';

/** Which organizations of an instance are exported: by `names` or `tags` if there are any, less `exclude`. */
export type OrgSelection =
  | {
      readonly kind: 'all';
      /** Globs (`*`, `?`) of names, any of which selects. */
      readonly names: readonly string[] | null;
      /** `key=value`, or `key` with any value, any of which selects. */
      readonly tags: readonly string[] | null;
      /** Lower-case ids, and globs of names. */
      readonly exclude: readonly string[];
    }
  | { readonly kind: 'ids'; readonly orgIds: readonly string[] };

export interface OrgRules {
  readonly names?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

const EVERY_ORG: OrgSelection = { kind: 'all', names: null, tags: null, exclude: [] };

/** `all` (also when not given), or a comma list of ids. */
export function readOrgs({ name, text }: Setting, problems: Problem[]): OrgSelection {
  const remedy = 'use all, or list the 24 hex characters of each organization';
  const entries = readList({ name, text }, remedy, problems);
  if (entries === null || entries.join() === 'all') return EVERY_ORG;
  const wrong = (value: string, problem: string, advice: string) => {
    problems.push({ name, value, problem, remedy: advice });
  };
  if (entries.includes('all')) wrong(text ?? '', 'mixes all with ids', 'use either all or ids');
  const orgIds = entries.map((entry) => entry.toLowerCase());
  for (const entry of new Set(entries)) {
    if (!isId(entry) && entry !== 'all') wrong(entry, 'is not an organization id', remedy);
  }
  const twice = firstDuplicate(orgIds);
  if (twice !== undefined) wrong(twice, 'is listed twice', 'list each organization once');
  return { kind: 'ids', orgIds };
}

/** A selection by rules; `name` is the path of the rules in messages. */
export function readOrgRules(name: string, rules: OrgRules, problems: Problem[]): OrgSelection {
  const { names = null, tags = null, exclude = [] } = rules;
  const lists = { names, tags, exclude: exclude.length === 0 ? null : exclude };
  for (const [key, list] of Object.entries(lists)) {
    if (list === null) continue;
    const remedy = 'write something there, or remove it';
    if (list.length === 0) problems.push({ name: `${name}.${key}`, problem: 'is empty', remedy });
    for (const [i, entry] of list.entries()) {
      if (entry.trim() === '') problems.push({ name: `${name}.${key}[${i}]`, problem: 'is empty', remedy });
    }
  }
  for (const [i, tag] of (tags ?? []).entries()) {
    if (!/^\s*=/.test(tag)) continue;
    const remedy = 'write key=value, or key for any value';
    problems.push({ name: `${name}.tags[${i}]`, value: tag, problem: 'has no key', remedy });
  }
  return {
    kind: 'all',
    names,
    tags,
    exclude: exclude.map((entry) => (isId(entry) ? entry.toLowerCase() : entry)),
  };
}
