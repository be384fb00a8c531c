import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/settings/config.ts';
import { DATABASE_REMEDY, ENOUGH, ONE, problemsIn, secretsFolder, thrownBy } from './settings.ts';

const settings = secretsFolder();

describe('an instance by environment', () => {
  test('needs its id and token; everything else has a default', () => {
    const { instances, origins: _, ...rest } = settings.read(ENOUGH);
    expect(instances).toEqual([
      {
        instanceId: '575ec8687ae143cd83dc4a97',
        apiUrl: 'https://api.losant.com',
        domain: null,
        readToken: expect.any(Function) as unknown,
        orgs: { kind: 'all' },
        streams: ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'],
        requestsPerSecond: 20,
        requestConcurrency: 8,
      },
    ]);
    expect(rest).toEqual({
      databaseUrl: null,
      readDatabaseUrl: expect.any(Function) as unknown,
      policy: { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 },
      schedule: '15 * * * *',
      controlTotals: 'block',
      statementKeyFile: null,
      request: { timeoutMs: 30_000, attempts: 5 },
      http: { host: '127.0.0.1', port: 9464, token: null },
      heartbeatUrl: null,
      autoMigrate: false,
      logLevel: 'info',
      adminToken: null,
      warnings: [],
    });
  });

  test('takes every setting', () => {
    const {
      instances,
      origins: _,
      ...rest
    } = settings.read({
      LOSANT_INSTANCE_ID: '575EC8687AE143CD83DC4A97',
      LOSANT_API_TOKEN: 'eyJ.token',
      LOSANT_API_URL: 'https://LOSANT.example.com:8443/api//',
      LOSANT_DOMAIN: 'usage.example.com',
      LOSANT_ORG_IDS: '575ED18F7AE143CD83DC4AA6, 675ed18f7ae143cd83dc4aa6',
      DATABASE_URL: 'postgres://usage:secret@db:5432/billing?sslmode=verify-full',
      STREAMS: 'payload_totals, device_counts',
      SCHEDULE: '  0  3 * * * ',
      CONTROL_TOTALS: 'show',
      STATEMENT_KEY_FILE: '/etc/losant-usage/statement.key',
      READ_AT_HOURS: '48,0,24,0',
      FINAL_AT_HOURS: '48',
      HORIZON_DAYS: '3',
      REQUEST_CONCURRENCY: '2',
      REQUESTS_PER_SECOND: '0.5',
      REQUEST_TIMEOUT_MS: '5000',
      REQUEST_ATTEMPTS: '3',
      HTTP_HOST: '::',
      HTTP_PORT: '0',
      HTTP_TOKEN: '0123456789abcdef',
      HEARTBEAT_URL: 'https://hc.example.com/ping/1',
      AUTO_MIGRATE: 'true',
      LOG_LEVEL: 'debug',
    });
    expect(instances).toEqual([
      {
        instanceId: '575ec8687ae143cd83dc4a97',
        apiUrl: 'https://losant.example.com:8443/api',
        domain: 'usage.example.com',
        readToken: expect.any(Function) as unknown,
        orgs: { kind: 'ids', orgIds: ['575ed18f7ae143cd83dc4aa6', '675ed18f7ae143cd83dc4aa6'] },
        streams: ['device_counts', 'payload_totals'],
        requestsPerSecond: 0.5,
        requestConcurrency: 2,
      },
    ]);
    expect(rest).toEqual({
      databaseUrl: 'postgres://usage:secret@db:5432/billing?sslmode=verify-full',
      readDatabaseUrl: expect.any(Function) as unknown,
      policy: { readAtHours: [0, 24, 48], finalAtHours: 48, horizonDays: 3 },
      schedule: '0 3 * * *',
      controlTotals: 'show',
      statementKeyFile: '/etc/losant-usage/statement.key',
      request: { timeoutMs: 5000, attempts: 3 },
      http: { host: '::', port: 0, token: '0123456789abcdef' },
      heartbeatUrl: 'https://hc.example.com/ping/1',
      autoMigrate: true,
      logLevel: 'debug',
      adminToken: null,
      warnings: [],
    });
  });

  test('takes an empty optional setting as not given', () => {
    const config = settings.read({
      ...ENOUGH,
      LOSANT_API_URL: '',
      LOSANT_DOMAIN: '',
      LOSANT_USAGE_CONFIG: '',
      SCHEDULE: '',
      HTTP_HOST: '',
      FINAL_AT_HOURS: '',
      HORIZON_DAYS: '',
      HTTP_PORT: '',
      HEARTBEAT_URL: '',
      AUTO_MIGRATE: '',
      LOG_LEVEL: '',
      REQUEST_ATTEMPTS: '',
      CONTROL_TOTALS: '',
    });
    expect(config).toMatchObject({ heartbeatUrl: null, logLevel: 'info' });
    expect(settings.refusal({ ...ENOUGH, DATABASE_URL: '', DATABASE_URL_FILE: '' })).toEqual([
      `DATABASE_URL is not set; ${DATABASE_REMEDY}; or name its file in DATABASE_URL_FILE`,
    ]);
  });

  test.each(['http://127.0.0.1:8080', 'http://127.8.9.10', 'http://[::1]:8080', 'http://localhost:8080'])(
    'takes plain http to this machine: %s',
    (url) => {
      expect(settings.read({ ...ENOUGH, LOSANT_API_URL: `${url}/` }).instances[0]?.apiUrl).toBe(url);
    },
  );

  test('reads each secret from its file, without the newline at its end', () => {
    writeFileSync(join(settings.folder, 'database'), 'postgres://usage:secret@db/billing\r\n');
    writeFileSync(join(settings.folder, 'http'), '0123456789abcdef\n');
    writeFileSync(join(settings.folder, 'heartbeat'), 'https://hc.example.com/ping/1\n');
    const config = settings.read({
      LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97',
      LOSANT_API_TOKEN_FILE: 'DIR/token',
      DATABASE_URL_FILE: 'DIR/database',
      HTTP_TOKEN_FILE: 'DIR/http',
      HEARTBEAT_URL_FILE: 'DIR/heartbeat',
    });
    expect(config.instances[0]?.readToken()).toBe('file-token');
    expect(config.databaseUrl).toBe('postgres://usage:secret@db/billing');
    expect(config.http.token).toBe('0123456789abcdef');
    expect(config.heartbeatUrl).toBe('https://hc.example.com/ping/1');
  });

  test('takes the file where the variable beside it is empty', () => {
    const { LOSANT_API_TOKEN: _, ...rest } = ENOUGH;
    const config = settings.read({ ...rest, LOSANT_API_TOKEN: '', LOSANT_API_TOKEN_FILE: 'DIR/token' });
    expect(config.instances[0]?.readToken()).toBe('file-token');
  });

  test('reads a database URL again, so that a new password needs no restart', () => {
    const path = join(settings.folder, 'rotated-url');
    writeFileSync(path, 'postgres://usage:one@db/billing\n');
    const config = settings.read({ ...ENOUGH, DATABASE_URL_FILE: path });
    writeFileSync(path, 'postgres://usage:two@db/billing\n');
    expect(config.readDatabaseUrl()).toBe('postgres://usage:two@db/billing');
  });

  test('reads a token again when asked, and refuses one that has become wrong', () => {
    const path = join(settings.folder, 'rotated');
    writeFileSync(path, 'first\n');
    const [instance] = settings.read({
      ...ENOUGH,
      LOSANT_API_TOKEN: undefined,
      LOSANT_API_TOKEN_FILE: path,
    }).instances;
    expect(instance?.readToken()).toBe('first');
    writeFileSync(path, 'second\n');
    expect(instance?.readToken()).toBe('second');
    writeFileSync(path, '');
    expect(thrownBy(() => instance?.readToken())).toMatchObject({
      name: 'SettingsError',
      message: `LOSANT_API_TOKEN_FILE="${path}" names an empty file`,
      hint: 'write the secret into it',
    });
  });
});

describe('a settings file', () => {
  test('describes several instances, as the example does', () => {
    const yaml = readFileSync('deploy/losant-usage.example.yaml', 'utf8').replace(
      '/run/secrets/losant-token-eu',
      'token',
    );
    const { instances, policy } = settings.read({ LOSANT_API_TOKEN_US: 'us-token' }, yaml);
    expect(instances.map((instance) => ({ ...instance, readToken: instance.readToken() }))).toEqual([
      {
        instanceId: '575ec8687ae143cd83dc4a97',
        apiUrl: 'https://api.losant.com',
        domain: null,
        readToken: 'file-token',
        orgs: { kind: 'all' },
        streams: ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'],
        requestsPerSecond: 20,
        requestConcurrency: 8,
      },
      {
        instanceId: '5f3a0b6c2d7e4f0006a1b2c3',
        apiUrl: 'https://api.losant.example.com',
        domain: 'usage.example.com',
        readToken: 'us-token',
        orgs: { kind: 'ids', orgIds: ['575ed18f7ae143cd83dc4aa6', '575ed18f7ae143cd83dc4aa7'] },
        streams: ['device_counts', 'payload_totals'],
        requestsPerSecond: 5,
        requestConcurrency: 4,
      },
    ]);
    expect(policy).toEqual({ readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 });
  });

  test('keeps an id that YAML would read as a number', () => {
    const yaml =
      'instances:\n  - id: 575000000000000000000096\n    tokenFile: token\n    orgs: [575000000000000000e00096]';
    const [instance] = settings.read({}, yaml).instances;
    expect(instance?.instanceId).toBe('575000000000000000000096');
    expect(instance?.orgs).toEqual({ kind: 'ids', orgIds: ['575000000000000000e00096'] });
  });

  test('may be named by a variable, and the command line wins', () => {
    const named = settings.write(ONE);
    expect(
      readConfig({ env: { LOSANT_USAGE_CONFIG: named }, configFile: null, needs: ['losant'] }).instances,
    ).toHaveLength(1);
    expect(
      readConfig({ env: { LOSANT_USAGE_CONFIG: '/missing' }, configFile: named, needs: ['losant'] })
        .instances,
    ).toHaveLength(1);
  });

  test('that others may write is a warning', () => {
    const path = settings.write(ONE);
    chmodSync(path, 0o664);
    expect(readConfig({ env: {}, configFile: path, needs: ['losant'] }).warnings).toEqual([
      `${path} can be written by other users, who could send tokens elsewhere; run: chmod go-w ${path}`,
    ]);
    chmodSync(path, 0o640);
    expect(readConfig({ env: {}, configFile: path, needs: ['losant'] }).warnings).toEqual([]);
  });

  test('a secret in a file that others may write is a warning', () => {
    const path = settings.write('a-token');
    const { LOSANT_API_TOKEN: _, ...rest } = ENOUGH;
    const env = { ...rest, LOSANT_API_TOKEN_FILE: path };
    chmodSync(path, 0o666);
    expect(readConfig({ env, configFile: null, needs: ['losant'] }).warnings).toEqual([
      `${path} can be written by other users, who could send tokens elsewhere; run: chmod go-w ${path}`,
    ]);
    chmodSync(path, 0o644);
    expect(readConfig({ env, configFile: null, needs: ['losant'] }).warnings).toEqual([]);
  });
});

test('a schedule may be one of the usual names', () => {
  expect(settings.read({ ...ENOUGH, SCHEDULE: '@hourly' })).toMatchObject({
    schedule: '0 * * * *',
    warnings: [],
  });
});

test('an address of the API with the version of another is a warning', () => {
  const { warnings } = settings.read({ ...ENOUGH, LOSANT_API_URL: 'https://api.losant.com/v1' });
  expect(warnings).toEqual(["LOSANT_API_URL ends in /v1, a path that Losant's own API does not have"]);
});

test('checkpoints that begin after a missing day has become a gap are a warning', () => {
  expect(settings.read({ ...ENOUGH, READ_AT_HOURS: '7,72,168' }).warnings).toEqual([
    'READ_AT_HOURS begins at 7: each day shows as a gap from 6 hours after its end until it is read',
  ]);
  expect(settings.read({ ...ENOUGH, READ_AT_HOURS: '6,72,168' }).warnings).toEqual([]);
});

test('a server open to the network without a token, and a schedule with months off, are warnings', () => {
  expect(settings.read({ ...ENOUGH, HTTP_HOST: '0.0.0.0', SCHEDULE: '0 3 1 */6 *' }).warnings).toEqual([
    'SCHEDULE="0 3 1 */6 *" leaves out whole months: a day is lost if none wakes within the horizon',
    'HTTP_HOST="0.0.0.0" without HTTP_TOKEN: readers get nothing but the probes /healthz and /readyz; set HTTP_TOKEN',
  ]);
});

test('no error shows a secret in any of its properties, however wrong it is', () => {
  const error = thrownBy(() =>
    settings.read({
      LOSANT_INSTANCE_ID: 'acme',
      LOSANT_API_TOKEN: 'CANARY CANARY',
      LOSANT_API_URL: 'https://CANARY:CANARY@losant.example.com?CANARY#CANARY',
      LOSANT_TOKEN: 'CANARY',
      LOSANT_DOMAIN: 'https://CANARY:CANARY@usage.example.com',
      DATABASE_URL: 'CANARY',
      HTTP_TOKEN_FILE: 'CANARY',
      HTTP_HOST: 'CANARY@host',
      HEARTBEAT_URL: 'CANARY',
    }),
  );
  expect(problemsIn(error)).toHaveLength(9);
  expect(inspect(error, { depth: null, showHidden: true })).not.toContain('CANARY');
});
