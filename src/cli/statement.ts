import { checkDatabase, checkPacks, checkSet } from '../billing/check-pack.ts';
import { readStatements } from '../billing/month.ts';
import { readPublicKey } from '../billing/pack.ts';
import { type OpenedPacks, openPacks, placePacks, writePacks } from '../billing/pack-folder.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { codeOf } from '../files/whole-file.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { argument, idsOption, monthOption, required, textOption } from './options.ts';

export const statement = defineCommand({
  needs: ['database'],
  options: {
    period: required(monthOption('the month that was closed')),
    out: required(textOption('DIR', 'the folder, which is made')),
    instance: idsOption('instance', 'only these instances'),
  },
  examples: ({ lastMonth: { name } }) => ({
    [`statement --period ${name} --out statement-${name}`]: 'the statement, and all that stands behind it',
  }),
  async run(context, { period: month, out, instance }) {
    const { output, signal } = context;
    const places = await withDatabase(context, async (handle) => {
      const chosen = await chooseBilledInstances(context, handle, instance);
      const all = await readStatements(handle.db, { month });
      const ids = chosen.map(({ instanceId }) => instanceId);
      const statements = all.filter(({ instanceId }) => ids.includes(instanceId));
      if (statements.length === 0) {
        throw new SettingsError(`${month} is not closed, so there is no statement of it`, {
          hint: `close it first: losant-usage close --period ${month}`,
        });
      }
      const placed = placePacks(statements);
      await writePacks(handle, placed, { out, signal });
      return placed;
    });
    const statements = places.map(({ statement: each, folder }) => {
      const { statementId, instanceId, kind, closedAt, manifestSha256 } = each;
      return { statementId, instanceId, kind, closedAt, manifestSha256, folder };
    });
    output.printJson({ period: month, out, statements });
    output.print(
      `Wrote ${count(places.length, 'statement')} of ${month} to ${out}.`,
      `To check: losant-usage verify ${out}`,
    );
    return EXIT.ok;
  },
});

export const verify = defineCommand({
  needs: 'database_if_set',
  options: {
    dir: argument(textOption('DIR', 'a folder that statement has written')),
    key: textOption('FILE', 'the public key (Ed25519, PEM) that has to fit the signature'),
  },
  examples: ({ lastMonth: { name } }) => ({
    [`verify statement-${name}`]: 'hashes, sums, chain; then the database',
    [`verify statement-${name} --key public.pem`]: 'also who has signed it',
  }),
  async run(context, { dir, key }) {
    const { output } = context;
    const verified = await verifyFolder(context, dir, key);
    const { packs, problems, notes, database } = verified;
    const statements = packs.map(({ folder, manifest, manifestSha256 }) => {
      const { id: statementId, instanceId, month: period, number, kind } = manifest.statement;
      const { signedBy } = manifest;
      return { folder, statementId, instanceId, period, number, kind, manifestSha256, signedBy };
    });
    output.printJson({ dir, ok: problems.length === 0, database, statements, problems, notes });
    output.print(...renderVerified(dir, verified));
    return problems.length === 0 ? EXIT.ok : EXIT.incomplete;
  },
});

interface Verified extends OpenedPacks {
  /** The database it was compared with; null if none is configured, or if the files were already wrong. */
  readonly database: string | null;
}

/** `verifyFolder` checks every pack in the folder and below it. Throws SettingsError if there is none. */
async function verifyFolder(context: CommandContext, dir: string, keyFile: string | null): Promise<Verified> {
  const key = keyFile === null ? null : await readPublicKey(keyFile);
  const opened = await openPacks(dir, key).catch((error: unknown) => {
    const code = codeOf(error) ?? '';
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) throw error;
    throw noPack(`${dir} cannot be read as a folder (${code})`);
  });
  const { packs } = opened;
  if (packs.length === 0 && opened.problems.length === 0) {
    throw noPack(`${dir} has no manifest.json, so it is not a proof pack`);
  }
  const problems = [...opened.problems];
  for (const found of await checkPacks(packs, context.signal)) {
    const isKnown = problems.some(({ file, problem }) => file === found.file && problem === found.problem);
    if (!isKnown) problems.push(found);
  }
  if (problems.length > 0 || context.config.databaseUrl === null)
    return { ...opened, problems, database: null };
  const compare = async (database: DatabaseHandle) => {
    const { db, describe } = database;
    problems.push(...(await checkSet(db, packs)));
    const notes = [...opened.notes];
    for (const pack of packs) {
      context.signal.throwIfAborted();
      const compared = await db.transaction().execute(async (trx) => await checkDatabase(trx, pack));
      problems.push(...compared.problems);
      const { month, number } = pack.manifest.statement;
      if (compared.isPruned) {
        notes.push(
          `Days of ${month} were removed from the database since (prune): of number ${number} only the lines and sources were compared with it, not the days.`,
        );
      }
    }
    return { ...opened, problems, notes, database: describe };
  };
  return await withDatabase(context, compare, { statementTimeoutMs: VIEW_STATEMENT_MS });
}

function noPack(message: string): SettingsError {
  return new SettingsError(message, { hint: 'name the folder that losant-usage statement has written' });
}

const PROBLEMS_MAX = 50;

function renderVerified(dir: string, { packs, problems, notes, database }: Verified): Line[] {
  if (problems.length > 0) {
    const rows = problems.map(({ file, problem }) => [`${file}: ${problem}`]);
    return [
      line`${styled('red', `${dir} does not hold`)}: ${count(problems.length, 'problem')}.`,
      ...renderTable({ rows, most: PROBLEMS_MAX }),
      'To write the pack again from the database: losant-usage statement',
    ];
  }
  return [
    line`${styled('green', `${dir} holds`)}: hashes, sums and completeness of ${count(packs.length, 'statement')}.`,
    ...packs.map(
      ({ manifest: { statement }, manifestSha256 }) =>
        `  ${statement.kind} of ${statement.month}, instance ${statement.instanceId}, number ${statement.number}: manifest SHA-256 ${manifestSha256}`,
    ),
    ...notes,
    database === null
      ? 'Not compared with a database: DATABASE_URL is not set.'
      : `The same as in the database ${database}, and, where it still has the days, as its record of changes says was known then.`,
  ];
}
