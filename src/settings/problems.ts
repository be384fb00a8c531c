import { SettingsError } from '../errors.ts';
import { quote } from '../terminal/spelling.ts';

export interface Problem {
  /** The place: a variable, or a place in the settings file. */
  readonly name: string;
  /** The value, if it is no secret and helps. */
  readonly value?: string | null;
  /** The text that completes the sentence begun by the name. */
  readonly problem: string;
  readonly remedy: string;
}

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

/** Splits a message of a schema into the problem and, after a `;`, the remedy. */
export function splitMessage(message: string): { problem: string; remedy?: string } {
  const end = message.indexOf('; ');
  if (end === -1) return { problem: message };
  return { problem: message.slice(0, end), remedy: message.slice(end + 2) };
}

/** Returns a path as text, e.g. `.orgs.tags[0]`. */
export function showSteps(path: readonly PropertyKey[]): string {
  const show = (step: PropertyKey) =>
    typeof step === 'number' ? `[${step}]` : `.${String(step).slice(0, 60)}`;
  return path.map(show).join('');
}
