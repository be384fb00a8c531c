import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { LAUNCHER, runProgram, startProcess, VERSION } from '../support/program.ts';

const VERBS = [
  'run',
  'worker',
  'backfill',
  'status',
  'gaps',
  'explain',
  'export',
  'reconcile',
  'waive',
  'close',
  'statement',
  'verify',
  'org show',
  'org set',
  'org delete',
  'check',
  'migrate',
  'simulator',
  'demo',
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-command-line-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The packages that Node loads for these arguments. */
async function packagesLoaded(args: readonly string[]): Promise<string[]> {
  const spy = join(folder, 'spy.mjs');
  writeFileSync(
    spy,
    `import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) { process.stderr.write('loaded ' + url + '\\n'); return next(url, context); } });`,
  );
  const { stderr } = await startProcess(process.execPath, ['--import', spy, LAUNCHER, ...args], {}).ended;
  const names = stderr.matchAll(/^loaded .*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//gm);
  return [...new Set([...names].map(([, name]) => name ?? ''))];
}

describe('the program', () => {
  it.each([['--help'], ['--version'], ['help']])('%s loads no package', async (arg) => {
    expect(await packagesLoaded([arg])).toEqual([]);
  });

  it('prints its version, and help that lists every command', async () => {
    expect(await runProgram(['--version'], {})).toMatchObject({
      code: 0,
      stdout: `${VERSION}\n`,
      stderr: '',
    });
    const help = await runProgram(['--help'], {});
    expect(help).toMatchObject({ code: 0, stderr: '' });
    const listed = [...help.stdout.matchAll(/^ {2}([a-z]+)(?: \w+)? {2,}\S/gm)].map(([, name]) => name ?? '');
    const words = new Set(VERBS.map((name) => name.replace(/ .*/, '')));
    expect(listed.toSorted()).toEqual([...words, 'help'].toSorted());
    expect(help.stdout).toContain('Exit codes: 0 nothing due is missing');
  });

  it('without a command says how to see them', async () => {
    expect(await runProgram([], {})).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'losant-usage: No command was given\n  losant-usage --help lists the commands\n',
    });
    expect(await runProgram(['org'], {})).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'losant-usage: No command was given\n  losant-usage org --help lists the commands\n',
    });
  });
});

describe('the help of a command', () => {
  it.each(VERBS)('%s has an example and needs no setting', async (verb) => {
    const { code, stdout, stderr } = await runProgram([...verb.split(' '), '--help'], { LOSANT_TYPO: 'x' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: losant-usage ${verb} `));
    expect(stdout).toMatch(new RegExp(`\\nExamples:\\n {2}# .+\\n {2}losant-usage ${verb}`));
  });

  it('marks what is required, and shows formats, defaults and choices', async () => {
    const { stdout } = await runProgram(['backfill', '--help'], {});
    const text = stdout.replaceAll(/\s+/g, ' ');
    expect(text).toContain('--from <YYYY-MM-DD> first day (required)');
    expect(text).toContain(
      '--org <ID...> only these organizations (several: repeat it, or separate by commas)',
    );
    const run = (await runProgram(['run', '--help'], {})).stdout.replaceAll(/\s+/g, ' ');
    expect(run).toContain('--wait <SECONDS> wait up to this long for another process (default: 0)');
  });
});

/** Enough for any command; nothing of it is reached. */
const SETTINGS = {
  LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97',
  LOSANT_API_TOKEN: 'token',
  LOSANT_API_URL: 'http://127.0.0.1:1',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nowhere',
};

describe('help', () => {
  it('breaks no word and no command at a width of 80', async () => {
    for (const { name } of commands) {
      const { stdout } = await runProgram([...name.split(' '), '--help'], {}, { columns: 80 });
      expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    }
    const { stdout } = await runProgram(['--help'], {}, { columns: 80 });
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('has examples for the day on which it is read', async () => {
    const hostNow = () => Date.parse('2031-03-01T00:30:00.000Z');
    const help = async (name: string) => (await runProgram([name, '--help'], {}, { hostNow })).stdout;
    expect(await help('run')).toContain('losant-usage run --date 2031-02-28 --stream payload_totals');
    expect(await help('backfill')).toContain('losant-usage backfill --from 2030-12-31\n');
    expect(await help('close')).toContain('losant-usage close --period 2031-02 --dry-run');
  });

  it.each([
    ['help', 'gaps'],
    ['help', 'org', 'show'],
  ])('is the same for %s %s', async (...args) => {
    const [, ...words] = args;
    expect(await runProgram(args, {})).toEqual(await runProgram([...words, '--help'], {}));
  });
});

it('a mistake is one document with --json', async () => {
  const { code, stdout } = await runProgram(['export', '--veiw', 'x', '--json'], {});
  expect(JSON.parse(stdout)).toEqual({
    error: {
      code: 'settings',
      message: "unknown option '--veiw'. Did you mean --view?",
      hint: 'losant-usage export --help lists its options',
    },
  });
  expect(code).toBe(2);
});

describe('a mistake is named with the next step, and nothing is begun', () => {
  it.each([
    [['gaps', '--al'], "unknown option '--al'. Did you mean --all?\n  losant-usage gaps --help"],
    [['gapss'], "unknown command 'gapss'. Did you mean gaps?\n  losant-usage --help lists"],
    [['backfill', '--to', '2026-11-01'], "required option '--from <YYYY-MM-DD>' not specified"],
    [
      ['export', '--veiw', 'x'],
      "unknown option '--veiw'. Did you mean --view?\n  losant-usage export --help",
    ],
    [
      ['backfill', '--from', '2026-02-30'],
      '--from 2026-02-30: That day does not exist: 2026-02 has 28 days.',
    ],
    [['run', '--date', '2024-02-30'], '--date 2024-02-30: That day does not exist: 2024-02 has 29 days.'],
    [['run', '--date', '2026-13-01'], '--date 2026-13-01: That day does not exist: there is no month 13.'],
    [['run', '--date', 'yesterday'], '--date yesterday: A day is written YYYY-MM-DD.'],
    [['run', '--date', '2026-11-01', '--date', '2026-11-02'], '--date was given 2 times'],
    [['run', '--org', 'abc'], '--org abc: An organization id has 24 hex characters.'],
    [['run', '--instance', 'x'], '--instance x: An instance id has 24 hex characters.'],
    [['run', '--stream', 'water'], '--stream water: The streams are device_counts, '],
    [['run', '--wait', '1.5'], '--wait 1.5: Use a whole number from 0 to 86400.'],
    [['run', 'everything'], "'everything' is too much: it belongs to no option"],
    [['run', '--date'], "option '--date <YYYY-MM-DD>' needs a value"],
    [['run', '--date', '--dry-run'], "option '--date <YYYY-MM-DD>' needs a value"],
    [['run', '--dry-run=yes'], "option '--dry-run' takes no value"],
    [
      ['backfill', '--from', '0000-01-01', '--to', '2026-11-02'],
      '--from 0000-01-01: the program knows days from 2015-01-01 to 2049-12-31\n  correct the year',
    ],
    [
      ['backfill', '--from', '1970-01-01', '--to', '2026-11-02'],
      '--from 1970-01-01: the program knows days from 2015-01-01 to 2049-12-31',
    ],
    [
      ['run', '--date', '1970-01-01'],
      '--date 1970-01-01: the program knows days from 2015-01-01 to 2049-12-31',
    ],
    [
      ['run', '--instance', '0123456789abcdef01234567'],
      '--instance 0123456789abcdef01234567: not an instance of the settings\n  configured are 575ec8687ae143cd83dc4a97',
    ],
    [
      ['explain', '--org', `${'0'.repeat(24)},${'1'.repeat(24)}`, '--day', '2026-11-01'],
      'One organization at a time.',
    ],
    [
      [
        'waive',
        '--org',
        '0'.repeat(24),
        '--day',
        '2026-11-02..2026-11-01',
        '--stream',
        'device_counts',
        '--reason',
        'x',
      ],
      '--day 2026-11-02..2026-11-01: Days are written YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD, the earlier first.',
    ],
    [['org', 'shw'], "unknown command 'shw'. Did you mean show?"],
    [['org', 'show'], "required option '--org <ID>' not specified\n  losant-usage org show --help lists"],
    [
      ['org', 'set', '--org', '0'.repeat(24), '--json', '{"name":"x"}'],
      'LOSANT_ADMIN_TOKEN is not set; create a token',
    ],
    [['verify'], "missing required argument 'dir'"],
    [['run', '--end', '575ec8687ae143cd83dc4a97'], 'this instance is in the settings'],
    [['simulator', '--port', '65536'], '--port 65536: Use a whole number from 0 to 65535.'],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await runProgram(args, SETTINGS);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('defect');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});
