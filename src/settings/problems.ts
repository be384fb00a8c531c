import { SettingsError } from '../errors.ts';

export interface Problem {
  /** The place: a variable, or a place in the settings file. */
  readonly name: string;
  /** The value, if it is no secret and helps. */
  readonly value?: string | null;
  /** The text that completes the sentence begun by the name. */
  readonly problem: string;
  readonly remedy: string;
}

/** The characters of a value that are shown; a token in the wrong setting stays mostly hidden. */
const SHOWN_CHARACTERS = 40;

export function settingsError(problems: readonly Problem[]): SettingsError {
  const title = problems.length === 1 ? '1 setting is wrong:' : `${problems.length} settings are wrong:`;
  const lines = problems.map((each) => `- ${describeProblem(each)}; ${each.remedy}`);
  return new SettingsError([title, ...lines].join('\n'), {
    hint: 'Nothing was started. See docs/settings.md.',
  });
}

export function describeProblem({ name, value, problem }: Problem): string {
  return `${name}${value == null ? '' : `=${quote(value)}`} ${problem}`;
}

/** `splitMessage` splits a message of kinds.ts into the problem and, after a `;`, the remedy. */
export function splitMessage(message: string): { problem: string; remedy?: string } {
  const end = message.indexOf('; ');
  return end === -1
    ? { problem: message }
    : { problem: message.slice(0, end), remedy: message.slice(end + 2) };
}

/** `showSteps` returns a path in text, e.g. `.orgs.tags[0]`. */
export function showSteps(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step).slice(0, 60)}`))
    .join('');
}

/** `quote` returns `text` on one line in double quotes, cut if long. */
export function quote(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return JSON.stringify(text);
  return `${JSON.stringify(`${text.slice(0, SHOWN_CHARACTERS)}…`)} (${text.length} characters)`;
}

export function oneOf(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

/** `nearestName` returns the candidate that `name` most likely misspells, by at most so many slips; null if none is near. */
export function nearestName<T extends string>(
  name: string,
  candidates: readonly T[],
  slipsMax = name.length / 3,
): T | null {
  const [best] = candidates
    .map((candidate) => ({ candidate, slips: countSlips(name, candidate) }))
    .sort((a, b) => a.slips - b.slips);
  return best !== undefined && best.slips <= slipsMax ? best.candidate : null;
}

/** `countSlips` returns the optimal string alignment distance of two texts. */
function countSlips(a: string, b: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const isSwapped = i > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = isSwapped ? (previous[j - 1] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    previous = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
