import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { EXIT, SettingsError } from '../errors.ts';
import { createLogger } from '../logger.ts';
import { type Config, readConfig } from '../settings/config.ts';
import { styled } from '../terminal/text.ts';
import { checkEverything } from './check.ts';
import { type BaseContext, defineCommand } from './command.ts';
import { textOption } from './options.ts';
import { openQuestions, type Questions } from './questions.ts';

const API_URL = 'https://api.losant.com';
const DATABASE = './usage-data';

/** Valid answers, so that each question can be judged separately. */
const RIGHT: Answers = {
  LOSANT_INSTANCE_ID: '0'.repeat(24),
  LOSANT_API_TOKEN: 'token',
  DATABASE_URL: 'embedded:./usage-data',
};

export const init = defineCommand({
  needs: 'none',
  json: false,
  whenInterrupted: 'nothing was written',
  options: { file: textOption('FILE', 'where the settings go; only you may read it', 'losant-usage.env') },
  examples: () => ({ init: 'the first thing to do' }),
  run: async (context, { file }) => await askForSettings(context, file ?? 'losant-usage.env'),
});

/** `askForSettings` returns the exit code of the check if nothing was written. */
async function askForSettings(context: BaseContext, file: string): Promise<number> {
  const { output } = context;
  requireNewFile(file);
  const noTerminal = new SettingsError('init asks questions, and this is no terminal', {
    hint: 'run it in a terminal, or set LOSANT_INSTANCE_ID, LOSANT_API_TOKEN and DATABASE_URL: see docs/settings.md',
  });
  const questions = openQuestions(context, noTerminal);
  try {
    output.remark('Three questions, then a check. Until then nothing is written.', '');
    const answers = await askAll(questions, context.env['LOSANT_API_URL']);
    output.print('');
    const exitCode = await check(context, answers);
    if (exitCode !== EXIT.ok && !(await questions.confirm('Write the file anyway?'))) return exitCode;
    await writeEnvFile(file, answers);
    output.print(
      '',
      ['Wrote ', styled('bold', file), ', which only you may read. Next:'],
      '',
      `  set -a; . ${file.includes('/') ? quoteForShell(file) : quoteForShell(`./${file}`)}; set +a`,
      '  npx losant-usage run',
    );
    return EXIT.ok;
  } finally {
    questions.close();
  }
}

async function askAll(questions: Questions, apiUrl: string | undefined): Promise<Answers> {
  // Only private installs have another address, and whoever has set one wants it.
  const api = apiUrl === undefined || apiUrl === API_URL ? {} : { LOSANT_API_URL: apiUrl };
  const check = (answer: Answers) => problemOf({ ...RIGHT, ...api, ...answer });
  const instanceId = await questions.ask({
    text: 'Instance id (24 hex characters, in the address of its page in Losant)',
    problemOf: (answer) => check({ LOSANT_INSTANCE_ID: answer }),
  });
  const token = await questions.ask({
    text: 'Instance API token that may read it (not shown)',
    isSecret: true,
    problemOf: (answer) => check({ LOSANT_API_TOKEN: answer }),
  });
  const database = await questions.ask({
    text: 'Database, postgres://USER:PASSWORD@HOST:5432/NAME, or a folder for trying out',
    initial: DATABASE,
    problemOf: (answer) => check({ DATABASE_URL: toDatabaseUrl(answer) }),
  });
  return {
    ...api,
    LOSANT_INSTANCE_ID: instanceId.toLowerCase(),
    LOSANT_API_TOKEN: token,
    DATABASE_URL: toDatabaseUrl(database),
  };
}

/** `toDatabaseUrl` makes a folder an embedded database, by its absolute path: the file is used from anywhere. */
function toDatabaseUrl(answer: string): string {
  if (answer.includes('://')) return answer;
  const folder = answer.replace(/^embedded:/, '');
  return folder === '' ? answer : `embedded:${resolve(folder)}`;
}

/** `problemOf` returns the problem of the answers by the settings' own rules; null if there is none. */
function problemOf(answers: Answers): string | null {
  try {
    readSettings(answers);
    return null;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.message.split('\n').at(-1) ?? error.message;
  }
}

function readSettings(answers: Answers): Config {
  return readConfig({ env: answers, configFile: null, needs: ['losant', 'database'] });
}

async function check(base: BaseContext, answers: Answers): Promise<number> {
  const logger = createLogger({ level: 'silent', pretty: false, destination: { write: () => {} } });
  const context = { ...base, config: readSettings(answers), logger, isSummaryEnough: true };
  return await checkEverything(context, { allOrgs: false, probe: false });
}

type Answers = Readonly<Record<string, string>>;

/** `requireNewFile` throws if the file exists, as it may hold the only copy of a token. */
function requireNewFile(file: string): void {
  if (!existsSync(file)) return;
  throw new SettingsError(`--file ${file}: there is a file of that name`, {
    hint: 'name another one with --file, or move it away',
  });
}

/** `writeEnvFile` writes the settings for `. FILE` in a shell; only the file's owner may read them. */
async function writeEnvFile(file: string, answers: Answers): Promise<void> {
  const lines = Object.entries(answers).map(([name, value]) => `${name}=${quoteForShell(value)}\n`);
  const text = `# Settings of losant-usage, written by \`losant-usage init\`. Secrets are in it: only its owner may read it.\n${lines.join('')}`;
  try {
    await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const hint = 'name a file in a folder where you may write';
    throw new SettingsError(`--file ${file}: cannot be written: ${reason}`, { hint, cause: error });
  }
}

export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
