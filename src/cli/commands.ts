import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { capitalize } from '../terminal/words.ts';
import type { Command } from './command.ts';
import type { Options, OptionValues } from './options.ts';

/** Loads each command by its name, which may be two words: its file is read only for its own help, or to run it. */
export const commands: ReadonlyMap<string, () => Promise<Command>> = new Map<string, () => Promise<Command>>([
  ['run', async () => (await import('./run.ts')).run],
  ['worker', async () => (await import('./worker.ts')).worker],
  ['backfill', async () => (await import('./run.ts')).backfill],
  ['status', async () => (await import('./status.ts')).status],
  ['gaps', async () => (await import('./gaps.ts')).gaps],
  ['explain', async () => (await import('./explain.ts')).explain],
  ['export', async () => (await import('./export.ts')).exportFile],
  ['reconcile', async () => (await import('./reconcile.ts')).reconcile],
  ['waive', async () => (await import('./gaps.ts')).waive],
  ['close', async () => (await import('./close.ts')).close],
  ['statement', async () => (await import('./statement.ts')).statement],
  ['verify', async () => (await import('./statement.ts')).verify],
  ['org show', async () => (await import('./org.ts')).orgShow],
  ['org set', async () => (await import('./org.ts')).orgSet],
  ['org delete', async () => (await import('./org-delete.ts')).orgDelete],
  ['check', async () => (await import('./check.ts')).check],
  ['migrate', async () => (await import('./migrate.ts')).migrate],
  ['simulator', async () => (await import('./simulator.ts')).simulator],
  ['demo', async () => (await import('./demo.ts')).demo],
]);

/** The text of --help. The line of a command is also the beginning of its own help. */
const HELP = `Usage: losant-usage <command> [options], or losant-usage help <command>

Copies Losant usage counters into Postgres, per organization and UTC day.

Export:
  run         export now all that is due, or one day again
  worker      export by schedule, unattended; serves metrics and the console
  backfill    read a range of days; skips what is stored unless it is due

Look:
  status      how far the numbers reach, and the last runs; exits 3 if there is a gap
  gaps        every number that is missing or in doubt; exits 3 if there is one
  explain     where a number comes from, and what became of it
  export      a view as a file: CSV, NDJSON or Parquet
  reconcile   our sums beside Losant's totals; exits 3 if settled numbers differ

Decide:
  waive       accept a number as it stands; the next good read lifts it
  close       close a month: its numbers as a statement that nothing changes
  statement   write the proof pack of a closed month into a folder
  verify      check a proof pack, also against a database; exits 3 if it does not hold
  org show    an organization as Losant has it now
  org set     change an organization in Losant; needs LOSANT_ADMIN_TOKEN
  org delete  export and delete an organization; needs LOSANT_ADMIN_TOKEN

Set up:
  check       check settings, database, clocks, token and scopes; changes nothing
  migrate     bring the database to this version

Try out:
  simulator   a Losant API on loopback, for trying out
  demo        the whole product on the simulator, in a fresh folder

Exit codes: 0 nothing due is missing · 1 failure · 2 wrong usage or settings
            3 something due is missing · 4 another process is at work
            5 Losant refused the token or a scope · 130/143 interrupted`;

/** A command with its options, or text to print in place of one: help, or the version. */
export type Invocation =
  | { readonly text: readonly string[] }
  | { readonly command: Command; readonly options: OptionValues<Options> };

const HELP_WORDS = ['help', '--help', '-h'];

/** Reads the command line. Throws SettingsError for a mistake in it. */
export async function parseCommandLine(argv: readonly string[], version: string): Promise<Invocation> {
  const isHelpFirst = HELP_WORDS.includes(argv[0] ?? '');
  const args = isHelpFirst ? argv.slice(1) : argv;
  const [first = '', second = ''] = args;
  if (['--version', '-V'].includes(first)) return { text: [version] };
  if (isHelpFirst && first === '') return { text: HELP.split('\n') };
  const name = commands.has(first) ? first : `${first} ${second}`;
  const command = await commands.get(name)?.();
  if (command === undefined) throw unknownCommand(first, second);
  const { commonOptions, readOptions, renderUsage } = await import('./options.ts');
  const shape = { ...commonOptions(command.needs !== null), ...command.options };
  const rest = args.slice(name.split(' ').length);
  if (!isHelpFirst && !rest.some((each) => HELP_WORDS.slice(1).includes(each))) {
    return { command, options: readOptions(name, rest, shape) };
  }
  const [, summary = ''] = new RegExp(`^  ${name} +(.*)$`, 'm').exec(HELP) ?? [];
  return { text: renderUsage(name, `${capitalize(summary)}.`, shape) };
}

function unknownCommand(first: string, second: string): SettingsError {
  const hint = 'losant-usage --help lists the commands';
  if (first === '') return new SettingsError('No command was given', { hint });
  const names = [...commands.keys()];
  const given = names.some((name) => name.startsWith(`${first} `)) ? `${first} ${second}`.trim() : first;
  const near = nearestName(given, names);
  const meant = near === null ? '' : `. Did you mean ${near}?`;
  return new SettingsError(`unknown command '${given}'${meant}`, { hint });
}
