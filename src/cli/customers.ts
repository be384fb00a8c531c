import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CustomerStatement, SealedMonth } from '../billing/customers.ts';
import type { BilledInstance, Statement } from '../billing/statements.ts';
import { nameCustomer, readMetrics, renderStatementCsv, renderStatementFile } from '../console/customer-statement.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { createAtomicFolder } from '../files/atomic-file.ts';
import type { Month } from '../usage/day.ts';

interface CustomerFiles {
  readonly month: Month;
  /** The folder to create. */
  readonly out: string;
  /** The instances that have closed the month. */
  readonly instances: readonly BilledInstance[];
  readonly statements: readonly Statement[];
  readonly signal: AbortSignal;
}

/** Writes a page and a CSV file for each instance and customer. Returns what was written. */
export async function writeCustomerFiles(
  { db }: Pick<DatabaseHandle, 'db'>,
  { month, out, instances, statements: allStatements, signal }: CustomerFiles,
) {
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
        await writeFile(join(folder, html), String(await renderStatementFile(customer, facts)), {
          flag: 'wx',
        });
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
  const hash = createHash('sha256').update(`${instanceId} ${id}`).digest('hex').slice(0, HASH_LENGTH);
  const name = toFileName(customer.lines[0]?.orgName ?? '') || toFileName(id) || 'customer';
  return `${name}-${hash}`;
}

function toFileName(text: string): string {
  const letters = text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
  return letters
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_NAME_LENGTH)
    .replaceAll(/^-|-$/g, '');
}
