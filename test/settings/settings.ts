import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { readConfig } from '../../src/settings/config.ts';
import { SettingsError } from '../../src/errors.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** The least that `run` needs. */
export const ENOUGH: Env = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', LOSANT_API_TOKEN: 'eyJ.token' };

/** An instance of a settings file, up to where a test goes on; without and with a token. */
export const UNNAMED = 'instances:\n  - id: 575ec8687ae143cd83dc4a97\n';
export const ONE = `${UNNAMED}    tokenFile: token\n`;

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
    read: (env: Env, yaml?: string) =>
      readConfig({ env: located(env), configFile: yaml === undefined ? null : write(yaml) }),
    /** The lines of the message with which these settings are refused. */
    refusal(env: Env, yaml?: string): string[] {
      try {
        this.read(env, yaml);
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        return error.message.replaceAll(folder, 'DIR').split('\n');
      }
      return [];
    },
  };
}
