import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { createTestFolder } from '../support/folders.ts';
import { LAUNCHER, runProgram, startProcess, VERSION } from '../support/program.ts';

const COMMANDS = [...commands.keys()];

it('help loads no package', async () => {
  const spy = join(createTestFolder(), 'spy.mjs');
  writeFileSync(
    spy,
    `import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) { process.stderr.write('loaded ' + url + '\\n'); return next(url, context); } });`,
  );
  const { stderr } = await startProcess(process.execPath, ['--import', spy, LAUNCHER, '--help'], {}).ended;
  expect(stderr).toMatch(/^loaded .*commands\.ts$/m);
  expect(stderr).not.toContain('node_modules');
});

it('prints its version, and help that lists every command', async () => {
  const version = { code: 0, stdout: `${VERSION}\n`, stderr: '' };
  expect(await runProgram(['--version'], {})).toMatchObject(version);
  const { stdout } = await runProgram(['--help'], {});
  const listed = [...stdout.matchAll(/^ {2}((?:org )?[a-z]+) {2,}\S/gm)].map(([, name]) => name ?? '');
  expect(listed).toEqual(COMMANDS);
  expect(stdout).toContain('Exit codes: 0 success, nothing due is missing');
  expect(stdout.split('\n').filter((line) => line.length > 100)).toEqual([]);
});

it.each(COMMANDS)('the help of %s needs no setting', async (command) => {
  const { code, stdout, stderr } = await runProgram([...command.split(' '), '--help'], { LOSANT_TYPO: 'x' });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`^Usage: losant-usage ${command} `));
  expect(stdout.split('\n').filter((line) => line.length > 120)).toEqual([]);
  expect((await runProgram(['help', ...command.split(' ')], {})).stdout).toBe(stdout);
});

it.each(['org --help', 'org -h', 'help org', '--help org'])('%s lists the commands of the group', async (args) => {
  const { code, stdout } = await runProgram(args.split(' '), {});
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^Usage: losant-usage org <command> \[options\]\n\n {2}org show .*\n {2}org set .*\n {2}org delete .*\n$/,
  );
});

it('help marks required options and shows defaults', async () => {
  const { stdout } = await runProgram(['backfill', '--help'], {});
  expect(stdout).toMatch(/--from <YYYY-MM-DD> +first day \(required\)\n/);
  expect(stdout).toMatch(/--to <YYYY-MM-DD> +last day, included \(default: yesterday\)\n/);
  expect(stdout).toMatch(/--org <ID\.\.\.> +only these organizations \(repeatable, or comma-separated\)\n/);
});

it.each([
  ['status', '\nDatabase role: losant_usage_reader\n'],
  ['close', '\nDatabase role: losant_usage_writer\n'],
  ['migrate', '\nDatabase role: losant_usage_migrator\n'],
])('the help of %s names the database role that it needs', async (command, line) => {
  expect((await runProgram([command, '--help'], {})).stdout).toContain(line);
});

/** Enough for any command; no address in it responds. */
const SETTINGS = {
  LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97',
  LOSANT_API_TOKEN: 'token',
  LOSANT_API_URL: 'http://127.0.0.1:1',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nowhere',
};

const DAY = 'is not a day from 2015-01-01 to 2049-12-31; use YYYY-MM-DD\n';

it.each([
  ['', 'losant-usage: Missing command\n  losant-usage --help lists the commands\n'],
  ['gapss', "unknown command 'gapss'. Did you mean gaps?\n  losant-usage --help lists"],
  ['org', "unknown command 'org'\n  losant-usage org --help lists the commands\n"],
  ['org shw', "unknown command 'org shw'. Did you mean org show?"],
  ['gaps --al', "unknown option '--al'. Did you mean --all?\n  losant-usage gaps --help lists its options"],
  ['backfill --form 2026-11-01', "unknown option '--form'. Did you mean --from?"],
  ['run --form 2026-11-01', "unknown option '--form'; losant-usage backfill has --from\n"],
  ['run --al', "unknown option '--al'\n"],
  ['close --force', "unknown option '--force'\n"],
  ['backfill --to 2026-11-01', '--from <YYYY-MM-DD> is required\n  losant-usage backfill --help'],
  ['run everything', "unexpected argument 'everything'"],
  ['run --day', "Option '--day <value>' argument missing"],
  ['run --day --dry-run', "Did you forget to specify the option argument for '--day'?"],
  ['run --dry-run=yes', "Option '--dry-run' does not take an argument"],
  ['run --day 2026-11-01 --day 2026-11-02', '--day can be given only once\n'],
  ['run --day 2026-02-30', `--day="2026-02-30" ${DAY}`],
  ['run --org 575ec8687ae143cd83dc4a97,x', '--org="x" is not an organization ID (24 hex characters)\n'],
  ['run --stream payloadtotals', '--stream="payloadtotals" is not a known value; did you mean payload_totals?\n'],
  ['run --stream device_counts,,payload_totals', '--stream has an extra comma; remove it\n'],
  ['run --stream device_counts,device_counts', '--stream lists an entry twice; list each once\n'],
  ['run --wait 1.5', '--wait="1.5" is not a whole number from 0 to 86400 (seconds)\n'],
  ['backfill --from 2026-01-02 --to 2026-01-01', '--from 2026-01-02 is later than --to 2026-01-01'],
  ['run --instance 0123456789abcdef01234567', "unknown option '--instance'"],
  [
    `waive --org ${'0'.repeat(24)} --day 2026-11-02..2026-11-01 --reason x`,
    '--day="2026-11-02..2026-11-01" is not a day or an ordered range; use YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD\n',
  ],
  ...['text', '<REASON>', '…', '4711'].flatMap((text) => [
    [`waive --org ${'0'.repeat(24)} --day 2026-11-01 --reason ${text}`, `--reason="${text}" is not a reason; say why`],
    [`close --month 2026-10 --accept-blockers --reason ${text}`, `--reason="${text}" is not a reason; say why`],
  ]),
  ['close --month 2026-10 --reason agreed', '--accept-blockers and --reason must be given together\n'],
  ['close --dry-run', '--month is required with --adjust, --dry-run and --accept-blockers\n'],
  ['backfill --from 2049-01-01', '--from 2049-01-01 has not ended yet (UTC)\n  the latest day that can be read is '],
  [`org set --org ${'0'.repeat(24)} --patch {}`, 'LOSANT_ADMIN_TOKEN is not set; create a token'],
  ['simulator --port 65536', '--port="65536" is not a whole number from 0 to 65535 (0 picks a free port)\n'],
])('reports the mistake in "%s" with the next step, and starts nothing', async (args = '', message = '') => {
  const { code, stdout, stderr } = await runProgram(args === '' ? [] : args.split(' '), SETTINGS);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('this is a bug');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});
