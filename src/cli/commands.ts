import { SettingsError } from '../errors.ts';
import { capitalize, findNearestName } from '../terminal/words.ts';
import type { Command } from './command.ts';

/** The commands by name, which may be two words. A command's file is imported only to run it or to print its help. */
export const commands: ReadonlyMap<string, () => Promise<Command>> = new Map<string, () => Promise<Command>>([
  ['run', async () => (await import('./run.ts')).runCommand],
  ['worker', async () => (await import('./worker.ts')).worker],
  ['backfill', async () => (await import('./run.ts')).backfill],
  ['status', async () => (await import('./status.ts')).status],
  ['gaps', async () => (await import('./gaps.ts')).gaps],
  ['digest', async () => (await import('./digest.ts')).digest],
  ['explain', async () => (await import('./explain.ts')).explain],
  ['export', async () => (await import('./export.ts')).exportFile],
  ['reconcile', async () => (await import('./reconcile.ts')).reconcile],
  ['waive', async () => (await import('./waive.ts')).waive],
  ['close', async () => (await import('./close.ts')).close],
  ['org show', async () => (await import('./org.ts')).orgShow],
  ['org set', async () => (await import('./org.ts')).orgSet],
  ['org delete', async () => (await import('./org-delete.ts')).orgDelete],
  ['check', async () => (await import('./check.ts')).check],
  ['migrate', async () => (await import('./database.ts')).migrate],
  ['simulator', async () => (await import('./demo.ts')).simulator],
  ['demo', async () => (await import('./demo.ts')).demo],
]);

/** What each command does, by purpose, in the order of the help. */
const SUMMARIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Load: {
    run: 'load everything that is due, or one day again',
    worker: 'load on a schedule; serve metrics and the console',
    backfill: 'load past days that are not stored yet (--force: all of them)',
  },
  Inspect: {
    status: 'show how complete the data is, and recent runs; exits 3 if there are gaps',
    gaps: 'list every cell that is missing or in doubt; exits 3 if there are any',
    digest: 'print what the worker sends each morning: what needs attention',
    explain: 'show where a number comes from and how it changed',
    export: 'write a view to a file: CSV, NDJSON or Parquet',
    reconcile: "compare our sums with Losant's totals; exits 3 if there are differences",
  },
  'Bill and administer': {
    waive: 'take a cell as it stands, or as zero; a later good read lifts the waiver',
    close: 'list months, or close one: record its numbers in a statement',
    'org show': 'show an organization as it is in Losant now',
    'org set': 'change an organization in Losant; needs LOSANT_ADMIN_TOKEN',
    'org delete': "load an organization's last days, then delete it; needs LOSANT_ADMIN_TOKEN",
  },
  'Set up': {
    check: 'check settings, database, clocks, token and scopes; changes nothing',
    migrate: 'migrate the database schema to this version',
  },
  'Try out': {
    simulator: 'run a simulated Losant API on this machine',
    demo: 'run everything against the simulator, in a temporary folder (--dir keeps it)',
  },
};

const EXIT_CODES = `Exit codes: 0 success, nothing due is missing · 1 failure · 2 usage or settings error
            3 something is missing or does not match · 4 another process is running
            5 Losant rejected the token or a scope · 130/143 interrupted`;

function renderHelp(): string[] {
  const groups = Object.entries(SUMMARIES).flatMap(([purpose, summaries]) => [
    `${purpose}:`,
    ...renderSummaries(Object.entries(summaries)),
    '',
  ]);
  const usage = 'Usage: losant-usage <command> [options], or losant-usage help <command>';
  const purpose = 'Copies Losant usage counters into Postgres, per organization and UTC day.';
  return [usage, '', purpose, '', ...groups, ...EXIT_CODES.split('\n')];
}

function renderGroupHelp(group: string): string[] {
  const summaries = Object.values(SUMMARIES).flatMap((each) => Object.entries(each));
  const ownSummaries = summaries.filter(([name]) => name.startsWith(`${group} `));
  return [`Usage: losant-usage ${group} <command> [options]`, '', ...renderSummaries(ownSummaries)];
}

function renderSummaries(summaries: ReadonlyArray<[string, string]>): string[] {
  return summaries.map(([name, summary]) => `  ${name.padEnd(10)}  ${summary}`);
}

const isGroup = (word: string) => [...commands.keys()].some((name) => name.startsWith(`${word} `));

const HELP_WORDS = ['help', '--help', '-h'];

/**
 * Returns the command with its options, or the text to print instead: help or the version. Throws SettingsError for a
 * mistake in the command line.
 */
export async function parseCommandLine(argv: readonly string[], version: string) {
  const isHelpFirst = HELP_WORDS.includes(argv[0] ?? '');
  const args = isHelpFirst ? argv.slice(1) : argv;
  const [first = '', second = ''] = args;
  if (['--version', '-V'].includes(first)) return { text: [version] };
  if (isHelpFirst && first === '') return { text: renderHelp() };
  const isHelpOnly = isHelpFirst ? second === '' : HELP_WORDS.slice(1).includes(second);
  if (isHelpOnly && isGroup(first)) return { text: renderGroupHelp(first) };
  const name = commands.has(first) ? first : `${first} ${second}`;
  const command = await commands.get(name)?.();
  if (command === undefined) throw toUnknownCommandError(first, second);
  const { commonOptions, readOptions, renderUsage } = await import('./options.ts');
  const shape = { ...commonOptions, ...command.options };
  const commandArgs = args.slice(name.split(' ').length);
  if (!isHelpFirst && !commandArgs.some((each) => HELP_WORDS.slice(1).includes(each))) {
    return { command, options: readOptions(name, commandArgs, shape) };
  }
  const summary = Object.values(SUMMARIES).find((summaries) => name in summaries)?.[name] ?? '';
  return { text: [...renderUsage(name, `${capitalize(summary)}.`, shape), ...renderRole(command)] };
}

/** Names the database role, which a command without a database does not need. */
function renderRole({ needs, role = 'losant_usage_reader' }: Command): string[] {
  return needs?.includes('database') ? ['', `Database role: ${role}`] : [];
}

function toUnknownCommandError(first: string, second: string): SettingsError {
  const hint = `losant-usage ${isGroup(first) ? `${first} ` : ''}--help lists the commands`;
  if (first === '') return new SettingsError('Missing command', { hint });
  const names = [...commands.keys()];
  const unknownName = isGroup(first) ? `${first} ${second}`.trim() : first;
  const nearest = findNearestName(unknownName, names);
  const suggestion = nearest === null ? '' : `. Did you mean ${nearest}?`;
  return new SettingsError(`unknown command '${unknownName}'${suggestion}`, { hint });
}
