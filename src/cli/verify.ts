import {
  checkDatabase,
  checkSums,
  findPacks,
  openPack,
  type Pack,
  type PackProblem,
  type Totals,
} from '../billing/verify.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { codeOf } from '../files/whole-file.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { withDatabase } from './open-database.ts';
import { argument, pathOption } from './options.ts';

export const verify = defineCommand({
  needs: 'database_if_set',
  options: { dir: argument(pathOption('DIR', 'a folder that statement has written')) },
  examples: ({ lastMonth: { name } }) => [
    { args: `verify statement-${name}`, does: 'hashes, sums, completeness; then the database' },
  ],
  async run(context, { dir }) {
    const { output } = context;
    const verified = await verifyFolder(context, dir);
    const { packs, problems, database } = verified;
    if (output.json) {
      const statements = packs.map(({ folder, manifest: { statement }, manifestSha256 }) => ({
        ...{ folder, statementId: statement.id, instanceId: statement.instanceId, period: statement.month },
        ...{ kind: statement.kind, manifestSha256 },
      }));
      output.printJson({ dir, ok: problems.length === 0, database, statements, problems });
    } else output.print(...renderVerified(dir, verified));
    return problems.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
});

interface Verified {
  readonly packs: readonly Pack[];
  readonly problems: readonly PackProblem[];
  /** The database it was compared with; null if none is configured, or if the files were already wrong. */
  readonly database: string | null;
}

/** Checks every pack in the folder and below it. Throws SettingsError if there is none. */
async function verifyFolder(context: CommandContext, dir: string): Promise<Verified> {
  const packs: Pack[] = [];
  const problems: PackProblem[] = [];
  for (const folder of await findFolders(dir)) {
    const opened = await openPack(dir, folder);
    problems.push(...opened.problems);
    if (opened.pack !== null) packs.push(opened.pack);
  }
  const inOrder = packs.toSorted(byStatement);
  // Sums of files that were changed prove nothing.
  if (problems.length > 0) return { packs: inOrder, problems, database: null };
  problems.push(...(await checkAllSums(inOrder)));
  if (problems.length > 0 || context.config.databaseUrl === null)
    return { packs: inOrder, problems, database: null };
  return await withDatabase(context, async ({ db, describe }) => {
    for (const pack of inOrder) {
      problems.push(...(await db.transaction().execute(async (trx) => await checkDatabase(trx, pack))));
    }
    return { packs: inOrder, problems, database: describe };
  });
}

async function findFolders(dir: string): Promise<string[]> {
  const folders = await findPacks(dir).catch((error: unknown) => {
    const code = codeOf(error) ?? '';
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) throw error;
    throw noPack(`${dir} cannot be read as a folder (${code})`);
  });
  if (folders.length > 0) return folders;
  throw noPack(`${dir} has no manifest.json, so it is not a proof pack`);
}

function noPack(message: string): SettingsError {
  return new SettingsError(message, { hint: 'name the folder that losant-usage statement has written' });
}

function byStatement({ manifest: { statement: a } }: Pack, { manifest: { statement: b } }: Pack): number {
  const keyOf = ({ instanceId, month }: typeof a) => `${instanceId} ${month}`;
  return keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : a.number - b.number;
}

/**
 * Checks sums in order, because an adjustment is checked against the statements before it, if they are
 * available.
 */
async function checkAllSums(packs: readonly Pack[]): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  let before: Totals | null = null;
  let next = 1;
  for (const pack of packs) {
    const { number } = pack.manifest.statement;
    if (number === 1) before = new Map();
    else if (number !== next) before = null;
    problems.push(...(await checkSums(pack, before)));
    next = number + 1;
  }
  return problems;
}

/** The number of problems shown to people; `--json` has all. */
const PROBLEMS_MAX = 50;

function renderVerified(dir: string, { packs, problems, database }: Verified): Line[] {
  if (problems.length > 0) {
    return [
      line`${styled('red', `${dir} does not hold`)}: ${count(problems.length, 'problem')}.`,
      ...renderTable({
        rows: problems.map(({ file, problem }) => [`${file}: ${problem}`]),
        most: PROBLEMS_MAX,
      }),
      'To write the pack again from the database: losant-usage statement',
    ];
  }
  return [
    line`${styled('green', `${dir} holds`)}: hashes, sums and completeness of ${count(packs.length, 'statement')}.`,
    ...packs.map(
      ({ manifest: { statement }, manifestSha256 }) =>
        `  ${statement.kind} of ${statement.month}, instance ${statement.instanceId}: manifest SHA-256 ${manifestSha256}`,
    ),
    database === null
      ? 'Not compared with a database: DATABASE_URL is not set.'
      : `The same as in the database ${database}, and as its record of changes says was known then.`,
  ];
}
