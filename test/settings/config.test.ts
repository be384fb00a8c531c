import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { SettingsError } from '../../src/errors.ts';
import { readConfig } from '../../src/settings/config.ts';
import { type Need, settingNames } from '../../src/settings/settings.ts';
import { useTestFolder } from '../support/folders.ts';
import { matching } from '../support/texts.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** The minimum that `run` needs. */
const MINIMUM: Env = { LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97', LOSANT_API_TOKEN: 'eyJ.token' };

/** The folder of secrets. `DIR` stands for it in settings and messages. */
const folder = useTestFolder();
writeFileSync(join(folder, 'token'), 'file-token\n');
writeFileSync(join(folder, 'empty'), '\n');
writeFileSync(join(folder, 'spaced'), 'two words');
mkdirSync(join(folder, 'folder'));

/** Reads the configuration of `run` from an environment. */
function read(env: Env) {
  const located = Object.entries(env).map(([name, text]) => [name, text?.replaceAll('DIR', folder)]);
  return readConfig({ env: Object.fromEntries(located) as Env, needs: ['losant'] });
}

/** Reads the configuration of a command that needs these settings from an environment. */
const readFor = (env: Env, ...needs: readonly Need[]) => readConfig({ env, needs });

/** Writes DIR in place of the folder, of which a message has only the end if the temporary folder has a long name. */
const hideFolder = (text: string) =>
  text.replaceAll(folder, 'DIR').replace(/"…\S*\/losant-usage-test-\w+(\/\S+)" \(\d+ characters\)/, '"DIR$1"');

/** Returns the error that is thrown, and the problems in its message. */
function catchProblems(run: () => unknown): { problems: readonly string[]; error: SettingsError } {
  try {
    run();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    const [title, ...lines] = error.message.split('\n');
    expect(title).toBe(lines.length === 1 ? '1 invalid setting:' : `${lines.length} invalid settings:`);
    expect(error.hint).toBe('Nothing was started. See docs/settings.md.');
    const problems = lines.map((line) => hideFolder(line.replace(/^- /, '')));
    return { problems, error };
  }
  throw new Error('nothing was thrown');
}

describe('an instance in the environment', () => {
  test('needs an ID and a token; everything else has a default', () => {
    const config = read(MINIMUM);
    const instance = { instanceId: '575ec8687ae143cd83dc4a97', domain: null, selection: null, requestsPerSecond: 20 };
    expect(config).toMatchObject(instance);
    expect(config).toMatchObject({ databaseUrl: null, schedule: '15 * * * *', autoMigrate: false, warnings: [] });
  });

  test.each<[name: string, text: string, config: object]>([
    ['LOSANT_INSTANCE_ID', '575EC8687AE143CD83DC4A97', { instanceId: '575ec8687ae143cd83dc4a97' }],
    ['LOSANT_API_URL', 'https://LOSANT.io:8443/api//', { apiUrl: 'https://losant.io:8443/api' }],
    ['LOSANT_DOMAIN', 'usage.example.com', { domain: 'usage.example.com' }],
    ['LOSANT_ORG_IDS', `${'A'.repeat(24)}, ${'b'.repeat(24)}`, { selection: ['a'.repeat(24), 'b'.repeat(24)] }],
    ['STREAMS', 'payload_totals, device_counts', { streams: ['device_counts', 'payload_totals'] }],
    ['REQUESTS_PER_SECOND', '0.5', { requestsPerSecond: 0.5 }],
    ['REQUEST_CONCURRENCY', '2', { concurrency: 2 }],
    ['DATABASE_URL', 'postgres://usage:secret@[::1]/billing', { databaseUrl: 'postgres://usage:secret@[::1]/billing' }],
    ['SCHEDULE', '  0  3 * * * ', { schedule: '0 3 * * *' }],
    ['CONTROL_TOTALS', 'show', { controlTotals: 'show' }],
    ['READ_AT_HOURS', '100,0,24', { policy: { readAtHours: [0, 24, 100], finalAfterHours: 72, horizonDays: 90 } }],
    ['FINAL_AFTER_HOURS', '48', { policy: { finalAfterHours: 48 } }],
    // The fewest that the last checkpoint allows.
    ['HORIZON_DAYS', '31', { policy: { horizonDays: 31 } }],
    ['REQUEST_TIMEOUT_MS', '5000', { request: { timeoutMs: 5000, attempts: 5 } }],
    ['REQUEST_ATTEMPTS', '3', { request: { timeoutMs: 30_000, attempts: 3 } }],
    ['HTTP_HOST', '::1', { http: { host: '::1', port: 9464, token: null } }],
    ['HTTP_PORT', '0', { http: { port: 0 } }],
    ['HTTP_TOKEN', '0123456789abcdef', { http: { token: '0123456789abcdef' } }],
    ['HEARTBEAT_URL', 'https://hc.example.com/1', { heartbeatUrl: 'https://hc.example.com/1' }],
    ['NOTIFY_AT', '07:30  Europe/Berlin', { notifyAt: { time: '07:30', timeZone: 'Europe/Berlin' } }],
    ['CONSOLE_URL', 'https://usage.example.com/', { consoleUrl: 'https://usage.example.com' }],
    ['AUTO_MIGRATE', 'true', { autoMigrate: true }],
    ['LOG_LEVEL', 'debug', { logLevel: 'debug' }],
  ])('can have %s="%s"', (name, text, config) => {
    expect(read({ ...MINIMUM, [name]: text })).toMatchObject({ ...config, warnings: [] });
  });

  test.each([
    ['https://hooks.slack.com/services/T/B/X', 'slack'],
    ['https://discord.com/api/webhooks/1/X', 'discord'],
    ['https://acme.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d', 'teams'],
    ['https://prod-1.westeurope.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke?sig=X', 'teams'],
    ['https://a.b.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/a', 'teams'],
    ['https://hooks.example.com/slack.com', 'json'],
    ['https://notslack.com/services', 'json'],
  ])('sends the digest to %s as %s by default', (NOTIFY_URL, format) => {
    expect(read({ ...MINIMUM, NOTIFY_URL }).notify).toEqual({ url: NOTIFY_URL, format });
    expect(read({ ...MINIMUM, NOTIFY_URL, NOTIFY_FORMAT: 'json' }).notify?.format).toBe('json');
  });

  test('can have empty settings, which count as not set, and plain http on this machine', () => {
    const empty = Object.fromEntries(settingNames.map((name) => [name, '']));
    const others = { HTTP_TOKEN_FILE: '', LOSANT_ORG_IDS: 'all' };
    for (const url of ['http://127.8.9.10:8080', 'http://[::1]:8080', 'http://localhost:8080']) {
      const config = read({ ...empty, ...others, ...MINIMUM, LOSANT_API_URL: `${url}/` });
      expect(config).toMatchObject({ heartbeatUrl: null, logLevel: 'info', http: { token: null } });
      expect(config.apiUrl).toBe(url);
    }
    expect(readFor({ ...empty, ...others }).instanceId).toBe('');
  });

  test('reads secrets from files, without the final newline, and reads them again on demand', () => {
    const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
    write('database', 'postgres://usage:secret@db/billing\r\n');
    write('http', '0123456789abcdef\n');
    write('rotated', 'first\n');
    const config = read({
      ...MINIMUM,
      LOSANT_API_TOKEN: '',
      LOSANT_API_TOKEN_FILE: 'DIR/rotated',
      DATABASE_URL_FILE: ' DIR/database\r',
      HTTP_TOKEN_FILE: 'DIR/http',
    });
    expect(config.readToken()).toBe('first');
    expect(config.databaseUrl).toBe('postgres://usage:secret@db/billing');
    expect(config.http.token).toBe('0123456789abcdef');
    write('database', 'postgres://usage:new@db/billing');
    expect(config.readDatabaseUrl()).toBe('postgres://usage:new@db/billing');
    write('rotated', 'second\n');
    expect(config.readToken()).toBe('second');
    write('rotated', '');
    expect(() => config.readToken()).toThrow(
      /^LOSANT_API_TOKEN_FILE=".*\/rotated"( \(\d+ characters\))? names an empty file; write the secret into it$/,
    );
  });
});

test('warns of a server on the network without a token, and of variables one typo away from a setting', () => {
  const others = { PATH: '/bin', HTTP_PROXY: 'x', PORT: '1', PGSSLMODE: 'x' };
  const typos = { DATABSE_URL: '', HEARTBEAT_ULR: '', HORIZON_DAY: '3' };
  expect(read({ ...MINIMUM, ...others, ...typos, HTTP_HOST: '0.0.0.0' }).warnings).toEqual([
    'DATABSE_URL is not a setting and has no effect; did you mean DATABASE_URL?',
    'HEARTBEAT_ULR is not a setting and has no effect; did you mean HEARTBEAT_URL?',
    'HORIZON_DAY is not a setting and has no effect; did you mean HORIZON_DAYS?',
    'HTTP_HOST="0.0.0.0" without HTTP_TOKEN: other machines can only reach /healthz and /readyz; set HTTP_TOKEN',
  ]);
});

test.each([
  ['postgres://u:p@db.example.com:5432/x', true],
  ['postgres://u:p@db.example.com/x?sslmode=disable', true],
  ['postgres://u:p@db.example.com/x?sslmode=prefer', false],
  ['postgres://u:p@127.0.0.1/x?host=db.example.com', true],
  ['postgres://u:p@db.example.com/x?sslrootcert=', true],
  ['postgres://u:p@db.example.com/x?sslrootcert=/ca.pem', false],
  ['postgres://u:p@127.0.0.1:5432/x', false],
  ['postgres://u:p@[::1]/x', false],
  ['postgres:///x?host=/run/postgresql', false],
  ['embedded:usage', false],
] as const)('warns of an unencrypted connection: %s, %s', (url, isWarning) => {
  const { warnings } = read({ ...MINIMUM, DATABASE_URL: url });
  expect(warnings.some((each) => each.includes('are sent unencrypted'))).toBe(isWarning);
});

test('no property of an error contains a secret, however invalid it is', () => {
  const { problems, error } = catchProblems(() =>
    read({
      LOSANT_INSTANCE_ID: 'acme',
      LOSANT_API_TOKEN: 'CANARY CANARY',
      LOSANT_API_URL: 'https://CANARY:CANARY@losant.example.com?CANARY#CANARY',
      LOSANT_TOKEN: 'CANARY',
      LOSANT_DOMAIN: 'https://CANARY:CANARY@usage.example.com',
      DATABASE_URL: 'CANARY',
      HTTP_TOKEN_FILE: 'CANARY',
      HTTP_HOST: 'CANARY@host',
      HEARTBEAT_URL: 'CANARY',
      NOTIFY_URL: 'CANARY',
    }),
  );
  expect(problems).toHaveLength(10);
  expect(inspect(error, { depth: null, showHidden: true })).not.toContain('CANARY');
});

describe('a setting that a command needs', () => {
  test('is reported as missing in the same message as invalid settings and those that contradict each other', () => {
    const policy = { READ_AT_HOURS: '0,24', FINAL_AFTER_HOURS: '48', HORIZON_DAYS: '1' };
    const env = { ...policy, REQUEST_TIMEOUT_MS: '1', HTTP_PORT: 'http', CONSOLE_URL: 'console', LOG_LEVEL: 'loud' };
    const { problems } = catchProblems(() => readFor(env, 'losant', 'database'));
    expect(problems).toEqual([
      'LOSANT_INSTANCE_ID is not set; copy it from the URL of the instance in Losant',
      'LOSANT_API_TOKEN is not set; create an instance API token in Losant; or put the path of a file that contains it in LOSANT_API_TOKEN_FILE',
      matching(/^DATABASE_URL is not set; set it to .*; or put the path of a file .* in DATABASE_URL_FILE$/),
      matching(/^REQUEST_TIMEOUT_MS="1" is not a whole number /),
      matching(/^HTTP_PORT="http" is not a whole number /),
      matching(/^CONSOLE_URL="console" is not an http or https URL/),
      'LOG_LEVEL="loud" is not a known value; use fatal, error, warn, info, debug, trace or silent',
      matching(/^FINAL_AFTER_HOURS="48" is later than the last checkpoint /),
      matching(/^HORIZON_DAYS="1" is too short for the last checkpoint /),
    ]);
  });

  test('is missing under its name if it is set under a similar one', () => {
    const { problems } = catchProblems(() => readFor({ DATABSE_URL: 'embedded:data' }, 'database'));
    expect(problems).toEqual(['DATABASE_URL is not set, but DATABSE_URL is; correct its name']);
  });

  test('is neither an instance nor its token for a command of the database', () => {
    const env = { DATABASE_URL: 'embedded:data' };
    expect(readFor(env, 'database').instanceId).toBe('');
    const config = readFor({ ...env, LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' }, 'database');
    expect(config.instanceId).toBe('575ec8687ae143cd83dc4a97');
    expect(() => config.readToken()).toThrow('LOSANT_API_TOKEN is not set');
  });
});

test('a long path is quoted with its end, which is what is wrong with it', () => {
  const path = `/${'folder/'.repeat(20)}database.url`;
  const { problems } = catchProblems(() => read({ ...MINIMUM, DATABASE_URL_FILE: path, HTTP_HOST: '!'.repeat(50) }));
  expect(problems).toEqual([
    expect.stringMatching(/^DATABASE_URL_FILE="…[der/fol]+\/database\.url" \(153 characters\) names a file/),
    expect.stringMatching(/^HTTP_HOST="!{40}…" \(50 characters\) is not a host name/),
  ]);
});

test('the admin token is read only for commands that need it, and can be in a file', () => {
  const invalid = { ...MINIMUM, LOSANT_ADMIN_TOKEN: 'two words', LOSANT_ADMIN_TOKEN_FILE: '/missing' };
  expect(readFor(invalid, 'losant').adminToken).toBeNull();
  const inFile = { ...MINIMUM, LOSANT_ADMIN_TOKEN_FILE: join(folder, 'token') };
  expect(readFor(inFile, 'admin').adminToken).toBe('file-token');
  expect(() => readFor(MINIMUM, 'admin')).toThrow('LOSANT_ADMIN_TOKEN is not set; create a token in Losant');
});

interface InvalidSettings {
  readonly title: string;
  readonly env: Env;
  readonly message: readonly string[];
}

/** The cases of `invalid.txt`: invalid settings with their messages. */
const cases = readFileSync(`${import.meta.dirname}/invalid.txt`, 'utf8')
  .trimEnd()
  .split(/\n(?=\S)/)
  .filter((text) => !text.startsWith('#'))
  .map((text): InvalidSettings => {
    const [title = '', ...details] = text.split('\n').map((line, index) => (index === 0 ? line : line.slice(2)));
    const variables = details.filter((line) => /^[A-Z_]+(=|$)/.test(line));
    const env = Object.fromEntries(variables.map((line) => [line.replace(/=.*/, ''), /=(.*)/.exec(line)?.[1]]));
    return { title, env, message: details.flatMap((line) => /^- ?(.*)/.exec(line)?.[1] ?? []) };
  });

test.each(cases)('$title is rejected', ({ env, message }) => {
  expect(catchProblems(() => read({ ...MINIMUM, ...env })).problems).toEqual(message);
});
