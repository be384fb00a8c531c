import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { SettingsError } from '../../src/errors.ts';
import { readConfig } from '../../src/settings/config.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** The least that `run` needs. */
export const ENOUGH: Env = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', LOSANT_API_TOKEN: 'eyJ.token' };

/** A settings file with an instance and its token, up to where a test goes on. */
export const ONE =
  'instances:\n  - LOSANT_INSTANCE_ID: 575ec8687ae143cd83dc4a97\n    LOSANT_API_TOKEN_FILE: token\n';

export const DATABASE_REMEDY =
  'set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server; ' +
  'in user and password, percent-encode @ : / ? # and spaces';

/** What `run` throws; fails if it does not. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** What a refusal of settings lists below its first line, after checking that line and the hint. */
export function problemsIn(error: unknown): string[] {
  if (!(error instanceof SettingsError)) throw error;
  const [title, ...lines] = error.message.split('\n');
  expect(title).toBe(lines.length === 1 ? '1 setting is wrong:' : `${lines.length} settings are wrong:`);
  expect(error.hint).toBe('Nothing was started. See docs/settings.md.');
  return lines.map((line) => {
    expect(line).toMatch(/^- /);
    return line.slice('- '.length);
  });
}

/** A folder for this test file, with some secrets in files. `DIR/` in settings and messages stands for it. */
export function secretsFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'settings-'));
  writeFileSync(join(folder, 'token'), 'file-token\n');
  writeFileSync(join(folder, 'empty'), '\n');
  writeFileSync(join(folder, 'spaced'), 'two words');
  mkdirSync(join(folder, 'folder'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const located = (env: Env): Env =>
    Object.fromEntries(Object.entries(env).map(([name, text]) => [name, text?.replaceAll('DIR', folder)]));
  const write = (yaml: string): string => {
    writeFileSync(join(folder, 'usage.yaml'), yaml);
    return join(folder, 'usage.yaml');
  };
  return {
    folder,
    write,
    /** The configuration of this environment, and of this settings file if there is one. */
    read(env: Env, yaml?: string) {
      const isDatabaseGiven = Object.keys(env).some((name) => name.startsWith('DATABASE_'));
      const needs = isDatabaseGiven ? (['losant', 'database'] as const) : (['losant'] as const);
      return readConfig({ env: located(env), configFile: yaml === undefined ? null : write(yaml), needs });
    },
    /** The problems that the message names with which these settings are refused. */
    refusal(env: Env, yaml?: string): string[] {
      try {
        this.read(env, yaml);
      } catch (error) {
        return problemsIn(error).map((problem) => problem.replaceAll(folder, 'DIR'));
      }
      return [];
    },
  };
}
