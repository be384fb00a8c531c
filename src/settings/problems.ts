import { SettingsError } from '../errors.ts';

/** A setting as given: the name it goes by in messages, and its text; undefined when not given. */
export interface Setting {
  readonly name: string;
  readonly text: string | undefined;
}

/** One thing that is wrong with the settings. */
export interface Problem {
  readonly name: string;
  /** The value, if it is no secret and helps. */
  readonly value?: string | undefined;
  /** Completes the sentence that the name begins. */
  readonly problem: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Long enough for any value that is nearly right; a token pasted into the wrong setting stays mostly hidden. */
const SHOWN_CHARACTERS = 40;

/** All problems in one error, one per line. */
export function settingsError(problems: readonly Problem[]): SettingsError {
  const lines = problems.map(({ name, value, problem, remedy }) => {
    const shown = value === undefined ? '' : `=${quote(value)}`;
    return `${name}${shown} ${problem}; ${remedy}`;
  });
  return new SettingsError(lines.join('\n'), {
    hint: 'correct the settings, which docs/settings.md describes, and start again: nothing was started',
  });
}

/** `text` on one line in double quotes, cut when long. */
export function quote(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return JSON.stringify(text);
  return `${JSON.stringify(`${text.slice(0, SHOWN_CHARACTERS)}…`)} (${text.length} characters)`;
}

/** The candidate that `name` is most likely a misspelling of; null if none is near. */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: editDistance(name, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= name.length / 3 ? best.candidate : null;
}

/** How many characters must be added, dropped or changed to turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, char] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const changed = (row[j] ?? 0) + (char === other ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
