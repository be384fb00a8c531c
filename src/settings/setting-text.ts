/** The text of a setting, from the environment or from the file of a secret. */
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { codeOf } from '../errors.ts';
import { describeValueProblem } from './kinds.ts';
import { getSettingInfo, type Need, type SettingName } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ReadContext {
  readonly env: Environment;
  /** What the command needs; a secret that only other commands need is not read. */
  readonly needs: readonly Need[];
  readonly problems: string[];
}

/** Returns a text for the schema: undefined if it is missing; null if it is not needed, or its problem is reported. */
export function readSettingText(name: SettingName, { env, needs, problems }: ReadContext): string | null | undefined {
  const { isSecret, neededBy } = getSettingInfo(name);
  const isNeeded = neededBy === undefined || needs.includes(neededBy);
  // A command that shows the settings, or that may use them, reads these even if it can do without.
  if (!isNeeded && name !== 'DATABASE_URL' && name !== 'LOSANT_INSTANCE_ID') return null;
  const text = env[name]?.replace(/[\r\n]+$/, '');
  // An empty list of organizations is a mistake, and must not become the default: all.
  const isSet = text !== undefined && (text.trim() !== '' || name === 'LOSANT_ORG_IDS');
  const path = isSecret ? (env[`${name}_FILE`] ?? '').trim() : '';
  const absent = isNeeded ? undefined : null;
  if (path === '') return isSet ? text : absent;
  if (isSet) {
    problems.push(`${name} and ${name}_FILE are both set; keep one of them`);
    return null;
  }
  const file = readSecretFile(path);
  if ('text' in file) return file.text;
  // The value is shown only if it looks like a path: it might be the secret itself.
  const isPath = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path));
  problems.push(describeValueProblem(`${name}_FILE`, isPath ? path : null, file.problem));
  return null;
}

/** Larger files are rejected, so that a wrong path, such as that of a disk, does not fill the memory. */
const MAX_FILE_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'this user is not allowed to read it',
};

/**
 * Returns the text of a file, or its problem without its path. Pipes are rejected: one could block forever, and can be
 * read only once.
 */
function readSecretFile(path: string): { readonly text: string } | { readonly problem: string } {
  let cause: string;
  try {
    const stats = statSync(path);
    if (stats.isFile() && stats.size <= MAX_FILE_BYTES) {
      const text = readFileSync(path, 'utf8').replace(/[\r\n]+$/, '');
      return text.trim() === '' ? { problem: 'names an empty file; write the secret into it' } : { text };
    }
    cause = stats.isFile() ? 'over 1 MiB' : 'not a regular file';
  } catch (error) {
    const code = codeOf(error) ?? 'unknown error';
    cause = REASONS[code] ?? code;
  }
  const remedy = 'correct the path, or make the file readable for this user';
  return { problem: `names a file that cannot be read: ${cause}; ${remedy}` };
}
