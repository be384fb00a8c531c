import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkPacks, compareWithDatabase } from '../billing/check-pack.ts';
import { type CustomerStatement, SealedMonth } from '../billing/customers.ts';
import { hashOf, readKey } from '../billing/manifest.ts';
import { writePacks } from '../billing/pack.ts';
import { readPacks, type Verification } from '../billing/read-packs.ts';
import { formatMonthName, readStatements, type Statement } from '../billing/statements.ts';
import { nameCustomer, readMetrics, renderStatementCsv, renderStatementFile } from '../console/customer-statement.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { codeOf, EXIT, SettingsError } from '../errors.ts';
import { createAtomicFolder } from '../files/atomic-file.ts';
import type { NamedInstance } from '../ledger/instances.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { line } from '../settings/kinds.ts';
import { formatTable, quoteForShell } from '../terminal/text.ts';
import { count, showInstant, showNumber } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openSchema, selectInstances } from './database.ts';
import { flagOption, folder, instancesOption, listOption, month, positional, requiredOption } from './options.ts';

export const statement = defineCommand({
  needs: ['database'],
  role: 'losant_usage_closer',
  options: {
    month: requiredOption('YYYY-MM', 'the closed month', month),
    out: requiredOption('DIR', 'the folder to create', folder),
    customers: flagOption('write a page and a CSV file for each customer instead of the proof packs'),
    instance: instancesOption,
  },
  async run(context, { month, out, customers: isByCustomer, instance }) {
    await using handle = await openSchema(context);
    const selected = await selectInstances(context, handle, instance);
    const statements = await readStatements(handle.db, {
      month,
      instanceIds: selected.map(({ instanceId }) => instanceId),
    });
    const { closed = [], notClosed = [] } = Object.groupBy(selected, (each) =>
      statements.some(({ instanceId }) => instanceId === each.instanceId) ? 'closed' : 'notClosed',
    );
    if (closed.length === 0) {
      const scope = instance === null ? '' : ` --instance ${instance.join(',')}`;
      throw new SettingsError(`${month} is not closed, so it has no statement`, {
        hint: `close it first: losant-usage close --month ${month}${scope}`,
      });
    }
    const notClosedLines = notClosed.map((each) => `Not closed, so not written: ${formatMonthName(each, month)}.`);
    const { signal } = context;
    if (isByCustomer) {
      const customers = await writeCustomerFiles(handle, statements, { month, out, instances: closed, signal });
      const head = `Wrote the statements of ${count(customers.length, 'customer')} for ${month} to ${out}.`;
      return { document: { month, out, customers, notClosed }, lines: [head, ...notClosedLines] };
    }
    const packs = await writePacks(handle, statements, { out, signal });
    const packDocuments = packs.map(({ statement: each, folder }) => {
      const { statementId, instanceId, kind, closedAt, closedBy, manifestSha256 } = each;
      return { statementId, instanceId, kind, closedAt, closedBy, manifestSha256, folder };
    });
    const head = `Wrote the proof packs of ${count(packs.length, 'statement')} of ${month} to ${out}:`;
    const rows = packs.map(({ statement: { number, kind, closedAt, closedBy }, folder }) => [
      `${number}`,
      `${kind}, ${showInstant(closedAt)} by ${closedBy}`,
      join(out, folder),
    ]);
    const lines = [head, ...formatTable({ rows }), ...notClosedLines];
    return {
      document: { month, out, statements: packDocuments, notClosed },
      lines: [...lines, `Check them with: losant-usage verify ${quoteForShell(out)}`],
    };
  },
});

export const verify = defineCommand({
  needs: [],
  role: 'losant_usage_closer',
  options: {
    dir: positional('DIR', 'a folder written by losant-usage statement', folder),
    key: listOption('FILE', 'public keys (Ed25519, PEM); each signature must match one of them', line),
  },
  async run(context, { dir, key }) {
    const verification = await verifyFolder(context, dir, key ?? []);
    const { packs, problems, notes, rows, database } = verification;
    const statements = packs.map(({ folder, manifest, manifestSha256 }) => {
      const { id: statementId, instanceId, month, number, kind, closedBy } = manifest.statement;
      const { signedBy } = manifest;
      return { folder, statementId, instanceId, month, number, kind, closedBy, manifestSha256, signedBy };
    });
    const ok = problems.length === 0;
    const document = { dir, ok, database, rows, statements, problems, notes };
    return { document, lines: renderVerification(dir, verification), exitCode: ok ? EXIT.ok : EXIT.incomplete };
  },
});

const FOLDER_ERRORS = ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'];

/**
 * Checks every pack in the folder and below it, and compares those without problems with the database, if one is
 * configured. Throws SettingsError if there is no pack.
 */
async function verifyFolder(context: CommandContext, dir: string, keyFiles: readonly string[]): Promise<Verification> {
  const { config, signal } = context;
  const hint = 'give a folder written by losant-usage statement';
  const keys = await Promise.all(keyFiles.map((path) => readKey(path, 'public')));
  const verification = await readPacks(dir, keys).catch((error: unknown) => {
    const code = codeOf(error) ?? '';
    if (!FOLDER_ERRORS.includes(code)) throw error;
    // It may be a folder below the given one.
    const { path } = error as NodeJS.ErrnoException;
    throw new SettingsError(`${path ?? dir} is not a readable folder (${code})`, { hint });
  });
  if (verification.packs.length === 0 && verification.problems.length === 0) {
    throw new SettingsError(`${dir} has no manifest.json, so it is not a proof pack`, { hint });
  }
  await checkPacks(verification, signal);
  if (verification.problems.length > 0 || config.databaseUrl === null) return verification;
  await using handle = await openSchema(context, 'reads', { statementTimeoutMs: VIEW_STATEMENT_MS });
  await compareWithDatabase(handle.db, verification, signal);
  verification.database = handle.label;
  return verification;
}

const MAX_PROBLEMS = 50;

function renderVerification(dir: string, verification: Verification): string[] {
  const { packs, problems, notes, rows, database, lacksStatement } = verification;
  if (problems.length > 0) {
    return [
      `${dir} is not valid: ${count(problems.length, 'problem')}.`,
      ...formatTable({ rows: problems.map(({ file, problem }) => [`${file}: ${problem}`]), most: MAX_PROBLEMS }),
      lacksStatement
        ? 'Keep the pack of a statement that the database does not have: it cannot be written again.'
        : 'To write the pack again from the database: losant-usage statement --month YYYY-MM --out DIR',
    ];
  }
  const checked = `hashes and ${showNumber(rows)} rows of ${count(packs.length, 'statement')}`;
  return [
    `${dir} is valid: checked ${checked}.`,
    ...packs.map(
      ({ manifest: { statement: each }, manifestSha256 }) =>
        `  ${each.kind} of ${each.month}, instance ${each.instanceId}, number ${each.number}, ` +
        `by ${each.closedBy}: manifest SHA-256 ${manifestSha256}`,
    ),
    ...notes,
    database === null
      ? 'Not compared with a database: DATABASE_URL is not set.'
      : `Identical, byte for byte, to the copy in the database ${database}.`,
  ];
}

async function writeCustomerFiles(
  { db }: DatabaseHandle,
  allStatements: readonly Statement[],
  options: { month: Month; out: string; instances: readonly NamedInstance[]; signal: AbortSignal },
) {
  const { month, out, instances, signal } = options;
  const metrics = await readMetrics(db);
  const customers: object[] = [];
  await createAtomicFolder(out, async (folder) => {
    for (const instance of instances) {
      const { instanceId } = instance;
      const statements = allStatements.filter((statement) => statement.instanceId === instanceId);
      using sealed = await SealedMonth.read(db, statements, { signal });
      const facts = { instance, month, statements, metrics };
      for (const customer of sealed.customers()) {
        signal.throwIfAborted();
        const name = nameFile(instanceId, customer);
        const [html, csv] = [`${name}.html`, `${name}.csv`];
        // Two customers never get the same file.
        await writeFile(join(folder, html), await renderStatementFile(customer, facts), { flag: 'wx' });
        await writeFile(join(folder, csv), renderStatementCsv(customer, facts), { flag: 'wx' });
        customers.push({ instanceId, ...customer.key, name: nameCustomer(customer), html, csv });
      }
    }
  });
  return customers;
}

const HASH_LENGTH = 8;
const MAX_NAME_LENGTH = 60 - 1 - HASH_LENGTH;

/** Returns the name of the customer with a hash of what identifies it, as names need not differ. */
function nameFile(instanceId: string, customer: CustomerStatement): string {
  const id = customer.key.customerId ?? customer.key.orgId ?? '';
  const hash = hashOf(`${instanceId} ${id}`).slice(0, HASH_LENGTH);
  const name = toFileName(customer.lines[0]?.org_name ?? '') || toFileName(id) || 'customer';
  return `${name}-${hash}`;
}

function toFileName(text: string): string {
  const letters = text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
  return letters
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_NAME_LENGTH)
    .replaceAll(/^-|-$/g, '');
}
