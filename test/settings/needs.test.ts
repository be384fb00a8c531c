import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readConfig, requireDatabaseUrl } from '../../src/settings/config.ts';
import { DATABASE_REMEDY, ENOUGH, ONE, problemsIn, secretsFolder, thrownBy } from './settings.ts';

const settings = secretsFolder();

describe('what a command needs', () => {
  // Promise (Operation): Wrong settings are all named at once, and nothing is started.
  test('is missing in the same message as everything that is wrong', () => {
    const error = thrownBy(() =>
      readConfig({ env: { LOG_LEVEL: 'loud' }, configFile: null, needs: ['losant', 'database'] }),
    );
    expect(problemsIn(error)).toEqual([
      'LOSANT_INSTANCE_ID is not set; copy the 24 hex characters of the instance from its address in Losant',
      'LOSANT_API_TOKEN is not set; create an instance API token in Losant; or name its file in LOSANT_API_TOKEN_FILE',
      `DATABASE_URL is not set; ${DATABASE_REMEDY}; or name its file in DATABASE_URL_FILE`,
      'LOG_LEVEL="loud" is not known; use fatal, error, warn, info, debug, trace or silent',
    ]);
  });

  test('may leave out Losant', () => {
    const env = { DATABASE_URL: 'embedded:data' };
    expect(readConfig({ env, configFile: null, needs: ['database'] }).instances).toEqual([]);
  });

  test('may leave out the token', () => {
    const env = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', DATABASE_URL: 'embedded:data' };
    const [instance] = readConfig({ env, configFile: null, needs: ['database'] }).instances;
    expect(instance?.instanceId).toBe('575ec8687ae143cd83dc4a97');
    expect(() => instance?.readToken()).toThrow('LOSANT_API_TOKEN is not set');
  });

  test('is a database URL, with a hint how to give one', () => {
    expect(requireDatabaseUrl({ databaseUrl: 'embedded:data' })).toBe('embedded:data');
    expect(thrownBy(() => requireDatabaseUrl({ databaseUrl: null }))).toMatchObject({
      name: 'SettingsError',
      message: 'DATABASE_URL is not set',
      hint: DATABASE_REMEDY,
    });
  });
});

describe('a token that may change things in Losant', () => {
  const env = { ...ENOUGH, LOSANT_ADMIN_TOKEN: 'eyJ.admin' };
  const read = (variables: typeof ENOUGH, needs: readonly ('losant' | 'admin')[]) =>
    readConfig({ env: variables, configFile: null, needs });

  test('is there only for the commands that need it', () => {
    expect(read(env, ['losant']).adminToken).toBeNull();
    expect(read(env, ['losant', 'admin']).adminToken).toBe('eyJ.admin');
  });

  test('is not even looked at by the others', () => {
    const wrong = { ...ENOUGH, LOSANT_ADMIN_TOKEN: 'two words', LOSANT_ADMIN_TOKEN_FILE: '/missing' };
    expect(read(wrong, ['losant']).adminToken).toBeNull();
  });

  test('may be in a file, and must be somewhere', () => {
    const inFile = { ...ENOUGH, LOSANT_ADMIN_TOKEN_FILE: join(settings.folder, 'token') };
    expect(read(inFile, ['admin']).adminToken).toBe('file-token');
    expect(problemsIn(thrownBy(() => read(ENOUGH, ['admin'])))).toEqual([
      'LOSANT_ADMIN_TOKEN is not set; create a token in Losant that may change organizations, and give it to this command only; or name its file in LOSANT_ADMIN_TOKEN_FILE',
    ]);
  });

  test('is no token of an instance', () => {
    const yaml = ONE.replace('tokenFile: token', 'tokenVariable: LOSANT_ADMIN_TOKEN');
    expect(settings.refusal({ LOSANT_ADMIN_TOKEN: 'eyJ.admin' }, yaml)).toEqual([
      'DIR/usage.yaml: instances[0].tokenVariable is not the name of a variable for tokens; use e.g. LOSANT_API_TOKEN_EU',
    ]);
  });
});
