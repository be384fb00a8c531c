import { SettingsError } from '../errors.ts';
import { quote } from '../terminal/spelling.ts';

export interface Problem {
  /** The place: a variable, or a place in the settings file. */
  readonly name: string;
  /** The value, if it is no secret and helps. */
  readonly value?: string | null;
  /** The text that completes the sentence begun by the name. What follows a `;` is the remedy. */
  readonly message: string;
  /** The remedy of a message without one. */
  readonly remedy?: string;
}

export function settingsError(problems: readonly Problem[]): SettingsError {
  const title = problems.length === 1 ? '1 setting is wrong:' : `${problems.length} settings are wrong:`;
  return new SettingsError([title, ...problems.map((each) => `- ${describeProblem(each)}`)].join('\n'), {
    hint: 'Nothing was started. See docs/settings.md.',
  });
}

export function describeProblem({ name, value, message, remedy = '' }: Problem): string {
  const sentence = `${name}${value == null ? '' : `=${quote(value)}`} ${message}`;
  return message.includes('; ') || remedy === '' ? sentence : `${sentence}; ${remedy}`;
}
