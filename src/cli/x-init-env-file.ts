import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { SettingsError } from '../errors.ts';

/** What is written, by the names of the settings. */
export type Answers = Readonly<Record<string, string>>;

/** Nothing is ever overwritten: it may be the only copy of a token. */
export function requireNewFile(file: string): void {
  if (!existsSync(file)) return;
  throw new SettingsError(`--file ${file}: there is a file of that name`, {
    hint: 'name another one with --file, or move it away',
  });
}

/** Writes the settings for `. FILE` in a shell; only its owner may read it. */
export async function writeEnvFile(file: string, answers: Answers): Promise<void> {
  const lines = Object.entries(answers).map(([name, value]) => `${name}=${quoteForShell(value)}`);
  const text = [
    '# Settings of losant-usage, written by `losant-usage init`. Secrets are in it: only its owner may read it.',
    ...lines,
    '',
  ].join('\n');
  try {
    await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SettingsError(`--file ${file}: cannot be written: ${reason}`, {
      hint: 'name a file in a folder where you may write',
      cause: error,
    });
  }
}

export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
