import {
  checkDatabase,
  checkSums,
  findPacks,
  openPack,
  type Pack,
  type PackProblem,
  type Totals,
} from '../../billing/verify.ts';
import { SettingsError } from '../../errors.ts';
import { codeOf } from '../../files/file-problem.ts';
import type { CommandContext } from '../command.ts';
import { withDatabase } from '../open/database.ts';

export interface Verified {
  readonly packs: readonly Pack[];
  readonly problems: readonly PackProblem[];
  /** The database it was compared with; null if none is configured, or the files were wrong already. */
  readonly database: string | null;
}

/** Checks every pack in the folder and below it. Throws SettingsError where there is none. */
export async function verifyFolder(context: CommandContext, dir: string): Promise<Verified> {
  const packs: Pack[] = [];
  const problems: PackProblem[] = [];
  for (const folder of await findFolders(dir)) {
    const opened = await openPack(dir, folder);
    problems.push(...opened.problems);
    if (opened.pack !== null) packs.push(opened.pack);
  }
  const inOrder = packs.toSorted(byStatement);
  // What was changed says nothing about sums.
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
  throw noPack(`${dir} holds no manifest.json, so it is no proof pack`);
}

function noPack(message: string): SettingsError {
  return new SettingsError(message, { hint: 'name the folder that losant-usage statement has written' });
}

function byStatement({ manifest: { statement: a } }: Pack, { manifest: { statement: b } }: Pack): number {
  const keyOf = ({ instanceId, month }: typeof a) => `${instanceId} ${month}`;
  return keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : a.number - b.number;
}

/** In order: an adjustment is checked against the statements before it, if they are at hand. */
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
