import { checkPacks } from '../billing/check-pack.ts';
import { compareWithDatabase } from '../billing/compare-database.ts';
import { readPublicKey } from '../billing/manifest.ts';
import { openPacks, type Verification } from '../billing/open-packs.ts';
import { writePacks } from '../billing/pack.ts';
import { readStatements } from '../billing/statements.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { codeOf } from '../files/whole-file.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { line } from '../settings/kinds.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showNumber } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances, openSchema } from './database.ts';
import { argument, instances, month, required, several, text } from './options.ts';

export const statement = defineCommand({
  needs: ['database'],
  role: 'losant_usage_closer',
  options: {
    period: required('YYYY-MM', 'the month that was closed', month),
    out: required('DIR', 'the folder, which is made', text),
    instance: instances,
  },
  async run(context, { period, out, instance }) {
    await using handle = await openSchema(context);
    const chosen = await chooseBilledInstances(context, handle, instance);
    const instanceIds = chosen.map(({ instanceId }) => instanceId);
    const closed = await readStatements(handle.db, { month: period, instanceIds });
    if (closed.length === 0) {
      throw new SettingsError(`${period} is not closed, so there is no statement of it`, {
        hint: `close it first: losant-usage close --period ${period}`,
      });
    }
    const places = await writePacks(handle, closed, { out, signal: context.signal });
    const statements = places.map(({ statement: each, folder }) => {
      const { statementId, instanceId, kind, closedAt, manifestSha256 } = each;
      return { statementId, instanceId, kind, closedAt, manifestSha256, folder };
    });
    const head = `Wrote ${count(places.length, 'statement')} of ${period} to ${out}.`;
    const lines = [head, `To check: losant-usage verify ${out}`];
    return { document: { period, out, statements }, lines };
  },
});

export const verify = defineCommand({
  needs: [],
  role: 'losant_usage_closer',
  options: {
    dir: argument('DIR', 'a folder that statement has written', text),
    key: several('FILE', 'public keys (Ed25519, PEM), of which one has to fit each signature', line),
  },
  async run(context, { dir, key }) {
    const verified = await verifyFolder(context, dir, key ?? []);
    const { found, database } = verified;
    const { packs, problems, notes, rows } = found;
    const statements = packs.map(({ folder, manifest, manifestSha256 }) => {
      const { id: statementId, instanceId, month: period, number, kind } = manifest.statement;
      const { signedBy } = manifest;
      return { folder, statementId, instanceId, period, number, kind, manifestSha256, signedBy };
    });
    const ok = problems.length === 0;
    const document = { dir, ok, database, rows, statements, problems, notes };
    return { document, lines: renderVerified(dir, verified), exitCode: ok ? EXIT.ok : EXIT.incomplete };
  },
});

interface Verified {
  readonly found: Verification;
  /** The database it was compared with; null if none is configured, or if the files were already wrong. */
  readonly database: string | null;
}

const NO_FOLDER = ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'];

/** Checks every pack in the folder and below it. Throws SettingsError if there is none. */
async function verifyFolder(
  context: CommandContext,
  dir: string,
  keyFiles: readonly string[],
): Promise<Verified> {
  const { config, signal } = context;
  const hint = 'name the folder that losant-usage statement has written';
  const keys = await Promise.all(keyFiles.map(readPublicKey));
  const found = await openPacks(dir, keys).catch((error: unknown) => {
    const code = codeOf(error) ?? '';
    if (!NO_FOLDER.includes(code)) throw error;
    throw new SettingsError(`${dir} cannot be read as a folder (${code})`, { hint });
  });
  if (found.packs.length === 0 && found.problems.length === 0) {
    throw new SettingsError(`${dir} has no manifest.json, so it is not a proof pack`, { hint });
  }
  await checkPacks(found, signal);
  if (found.problems.length > 0 || config.databaseUrl === null) return { found, database: null };
  await using handle = await openSchema(context, { statementTimeoutMs: VIEW_STATEMENT_MS });
  await compareWithDatabase(handle.db, found, signal);
  return { found, database: handle.describe };
}

const PROBLEMS_MAX = 50;

function renderVerified(dir: string, { found, database }: Verified): string[] {
  const { packs, problems, notes, rows } = found;
  if (problems.length > 0) {
    return [
      `${dir} does not hold: ${count(problems.length, 'problem')}.`,
      ...renderTable({
        rows: problems.map(({ file, problem }) => [`${file}: ${problem}`]),
        most: PROBLEMS_MAX,
      }),
      'To write the pack again from the database: losant-usage statement',
    ];
  }
  const checked = `hashes and ${showNumber(rows)} rows of ${count(packs.length, 'statement')}`;
  return [
    `${dir} holds: ${checked}.`,
    ...packs.map(
      ({ manifest: { statement: each }, manifestSha256 }) =>
        `  ${each.kind} of ${each.month}, instance ${each.instanceId}, number ${each.number}: ` +
        `manifest SHA-256 ${manifestSha256}`,
    ),
    ...notes,
    database === null
      ? 'Not compared with a database: DATABASE_URL is not set.'
      : `The same, byte for byte, as in the database ${database}.`,
  ];
}
