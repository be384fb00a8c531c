import { readFileSync, statSync } from 'node:fs';
import { validateDetailed } from 'node-cron';
import { LATE_AFTER_HOURS, type Policy } from '../usage/policy.ts';
import type { SettingsFile } from './file.ts';
import { isLoopback } from './kinds.ts';
import { type Problem, quote } from './problems.ts';
import type { Source } from './reader.ts';
import { type HTTP, POLICY, SERVICE, type Values } from './table.ts';

/** Returns the problems of settings that are each valid but contradict one another. */
export function checkPolicy({ readAtHours, finalAtHours, horizonDays }: Policy, source: Source): Problem[] {
  const problems: Problem[] = [];
  const lastHours = readAtHours.at(-1) ?? 0;
  const checkpoints = source(POLICY.readAtHours.env).name;
  if (finalAtHours > lastHours) {
    problems.push({
      ...shown(POLICY.finalAtHours.env, finalAtHours, source),
      problem: `is later than the last checkpoint, ${lastHours} hours: no day would become final`,
      remedy: `use at most ${lastHours}, or add ${finalAtHours} to ${checkpoints}`,
    });
  }
  // The day must still be inside the horizon on the date on which the checkpoint comes.
  const neededDays = Math.floor(lastHours / 24) + 1;
  if (horizonDays < neededDays) {
    problems.push({
      ...shown(POLICY.horizonDays.env, horizonDays, source),
      problem: `ends before the last checkpoint, ${lastHours} hours`,
      remedy: `use at least ${neededDays}, or remove checkpoints from ${checkpoints}`,
    });
  }
  return problems;
}

/** Returns the place and value of a number that may be the default. */
function shown(variable: string, value: number, source: Source): Pick<Problem, 'name' | 'value'> {
  const { name, raw } = source(variable);
  return raw === undefined || raw === ''
    ? { name: `${name} (not set: ${value})` }
    : { name, value: `${value}` };
}

interface Checked {
  readonly policy: Policy;
  readonly schedule: string;
  readonly http: Values<typeof HTTP>;
}

/** Returns warnings about settings that are valid. */
export function warningsOf(config: Checked, file: SettingsFile | null, source: Source): string[] {
  const { schedule, http } = config;
  const [firstHours = 0] = config.policy.readAtHours;
  const warnings: string[] = [];
  if (file?.isOpen) {
    const what = 'can be written by other users, who could send tokens elsewhere';
    warnings.push(`${file.path} ${what}; run: chmod go-w ${file.path}`);
  }
  if ((validateDetailed(schedule).fields?.month.length ?? 12) < 12) {
    const place = `${source(SERVICE.schedule.env).name}=${quote(schedule)}`;
    warnings.push(`${place} leaves out whole months: a day is lost if none wakes within the horizon`);
  }
  if (firstHours > LATE_AFTER_HOURS) {
    const what = `each day shows as a gap from ${LATE_AFTER_HOURS} hours after its end until it is read`;
    warnings.push(`${source(POLICY.readAtHours.env).name} begins at ${firstHours}: ${what}`);
  }
  if (http.port !== 0 && http.token === null && !isLoopback(http.host)) {
    const what = 'readers get nothing but the probes /healthz and /readyz';
    warnings.push(`HTTP_HOST=${quote(http.host)} without HTTP_TOKEN: ${what}; set HTTP_TOKEN`);
  }
  return warnings;
}

export interface FileContent {
  readonly text: string;
  /** The permission bits; null where they have no meaning. */
  readonly mode: number | null;
}

/** Reads a complete file; throws as `node:fs` does. */
export type ReadFile = (path: string) => FileContent;

/**
 * The largest file read. No setting is nearly as large, and a wrong path, e.g. to a database or a
 * disk, must not be read into memory.
 */
const LARGEST_FILE_BYTES = 1024 * 1024;

/** Reads a regular file; a pipe could block for ever and could not be read again. */
export function readFileFromDisk(path: string): FileContent {
  const stats = statSync(path);
  if (!stats.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'not a regular file' });
  if (stats.size > LARGEST_FILE_BYTES) throw Object.assign(new Error('too large'), { code: 'over 1 MiB' });
  // Windows invents the bits of group and others.
  const mode = process.platform === 'win32' ? null : stats.mode & 0o777;
  return { text: readFileSync(path, 'utf8'), mode };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'it does not exist',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
};

/** Reads the file that a setting names, or reports the setting's problem. */
export function readNamedFile(
  path: string,
  readFile: ReadFile,
): FileContent | { readonly problem: string; readonly remedy: string } {
  try {
    return readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const problem = `names a file that cannot be read: ${REASONS[code] ?? code}`;
    return { problem, remedy: 'correct the path, or let this user read a file there' };
  }
}
