import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { copyEmbeddedDatabase, makeFastFolder } from '../support/databases.ts';
import { runProgram, startProcess } from '../support/program.ts';
import { typeIntoTerminal } from '../support/terminal.ts';

const platform = usePlatform({ now: Date.now, orgs: 2 });
let folder: string;
let file: string;

beforeEach(() => {
  folder = makeFastFolder('losant-usage-init-');
  file = join(folder, 'my.env');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Answers the questions in a terminal; only the address of the API is set. */
const answer = (...typed: readonly (readonly [waitFor: string, line: string])[]) =>
  typeIntoTerminal(['init', '--file', file], { LOSANT_API_URL: platform.url }, typed);

/** An embedded database is created, which takes a busy machine its time. */
const LIMIT_MS = 180_000;

const INSTANCE = 'Instance id';
const TOKEN = 'Instance API token';
const DATABASE = 'Database, ';

describe('in a terminal', () => {
  it(
    'asks again what is wrong, checks, and writes a file that works and only its owner may read',
    async () => {
      // One that is there already, as making it takes seconds.
      const embedded = await copyEmbeddedDatabase();
      onTestFinished(() => embedded.remove());
      const { code, stdout } = await answer(
        [INSTANCE, 'short'],
        [INSTANCE, platform.instanceId.toUpperCase()],
        [TOKEN, platform.token],
        [DATABASE, embedded.folder],
      );
      expect(code).toBe(0);
      expect(stdout).toContain('  npx losant-usage run\r\n');
      expect(stdout).toContain('LOSANT_INSTANCE_ID="short" is not an instance id');
      expect(stdout).toContain('Everything works.');
      expect(stdout).not.toContain(platform.token);
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(readFileSync(file, 'utf8').split('\n').slice(1)).toEqual([
        `LOSANT_API_URL='${platform.url}'`,
        `LOSANT_INSTANCE_ID='${platform.instanceId.toLowerCase()}'`,
        `LOSANT_API_TOKEN='${platform.token}'`,
        `DATABASE_URL='embedded:${embedded.folder}'`,
        '',
      ]);
      expect(stdout).toContain(`set -a; . '${file}'; set +a`);
      const settings = await startProcess('sh', ['-c', `set -a; . '${file}'; set +a; env`], {}).ended;
      const env = Object.fromEntries(
        settings.stdout
          .split('\n')
          .filter((line) => /^(LOSANT|DATABASE)_/.test(line))
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
      expect((await runProgram(['run'], env)).code).toBe(0);
    },
    LIMIT_MS,
  );

  it('writes nothing when the check fails and nobody insists', async () => {
    const { code, stdout } = await answer(
      [INSTANCE, platform.instanceId],
      [TOKEN, 'a-token-nobody-knows'],
      [DATABASE, join(folder, 'data')],
      ['Write the file anyway?', 'n'],
    );
    expect(stdout).toContain('FAILED');
    expect(code).toBe(5);
    expect(existsSync(file)).toBe(false);
  });

  it('ends with exit code 130 at Ctrl-C, and writes nothing', async () => {
    const { code, stdout } = await answer([INSTANCE, '\x03']);
    expect(stdout).toContain('Interrupted by SIGINT\r\n  nothing was written\r\n');
    expect(code).toBe(130);
    expect(existsSync(file)).toBe(false);
  });
});

it('without a terminal says what to set instead', async () => {
  expect(await runProgram(['init', '--file', file], {})).toEqual({
    code: 2,
    signal: null,
    stdout: '',
    stderr:
      'losant-usage: init asks questions, and this is no terminal\n' +
      '  run it in a terminal, or set LOSANT_INSTANCE_ID, LOSANT_API_TOKEN and DATABASE_URL: see docs/settings.md\n',
  });
});

it('overwrites no file', async () => {
  writeFileSync(file, 'mine');
  const { code, stderr } = await runProgram(['init', '--file', file], {});
  expect(stderr).toContain(`--file ${file}: there is a file of that name`);
  expect(code).toBe(2);
  expect(readFileSync(file, 'utf8')).toBe('mine');
});
