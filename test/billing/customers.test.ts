/** The statement of a customer, as files and as a page: what was closed, and nothing else. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { Hono } from 'hono';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SealedMonth } from '../../src/billing/customers.ts';
import { readStatements } from '../../src/billing/statements.ts';
import { renderCustomerStatement } from '../../src/console/customer-statement.ts';
import { addPages } from '../../src/console/pages.ts';
import type { PageSources } from '../../src/console/sources.ts';
import { createLogger } from '../../src/logger.ts';
import { streamRows } from '../../src/queries/view-rows.ts';
import { eachDay } from '../../src/usage/day.ts';
import { asAdministrator } from '../support/databases.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { INSTANCE, OTHER_INSTANCE, SIGNAL, useBooks } from './books.ts';
import { METRICS, type ReckonedCell, Reckoning } from './reckoning.ts';

const books = useBooks();
const reckoning = new Reckoning();
const MONTH = '2026-09';
const DAYS = { from: '2026-09-10', to: '2026-09-12' };
const HOSTILE_NAME = '=HYPERLINK("http://x")<img src=x>\u202e';
let out: string;
const orgs: Record<string, string> = {};

/** Name, customer and instance of each organization. */
const ORGS = {
  bridges: ['Acme Bridges', 'cus_acme', INSTANCE],
  tunnels: ['Acme Tunnels', 'cus_acme', INSTANCE],
  abroad: ['Acme Bridges', 'cus_acme', OTHER_INSTANCE],
  namesake: ['Acme Bridges', 'cus_other', INSTANCE],
  alone: ['Müller & Söhne', null, INSTANCE],
  hostile: [HOSTILE_NAME, '=1+1', INSTANCE],
} as const;

const numbersOf = (stream: string, factor: number) =>
  Object.fromEntries((METRICS[stream] ?? []).map((metric, index) => [metric, factor * 10 + index]));

async function addCells(orgId: string, factor: number): Promise<void> {
  for (const stream of ['device_counts', 'payload_totals']) {
    const numbers = numbersOf(stream, factor);
    await books.addCells({ orgId, ...DAYS, stream, numbers });
    for (const day of eachDay(DAYS)) reckoning.add({ orgId, day, stream, numbers, isSettled: true });
  }
}

async function restate(orgId: string, factor: number): Promise<void> {
  const [stream, day] = ['payload_totals', '2026-09-11'];
  const cell = reckoning.cells.get(`${orgId} ${day} ${stream}`) as ReckonedCell;
  const numbers = numbersOf(stream, factor);
  await books.restate(orgId, day, { stream, old: cell.numbers ?? {}, numbers });
  cell.numbers = numbers;
}

const run = async (...args: readonly string[]): Promise<Ended> =>
  await runProgram([...args], { DATABASE_URL: books.url });
const runCustomers = async (folder: string, ...more: readonly string[]) =>
  await run('statement', '--month', MONTH, '--customers', '--out', join(books.folder, folder), ...more);

interface Written {
  readonly instanceId: string;
  readonly customerId: string | null;
  readonly orgId: string | null;
  readonly name: string;
  readonly html: string;
  readonly csv: string;
}

/** Returns the status and the text of a page of the console. */
const open = async (path: string): Promise<string> => {
  const app = new Hono();
  const sources: Pick<PageSources, 'read' | 'readRows' | 'instanceIds' | 'logger' | 'now'> = {
    read: (query) => query(books.reader.db),
    readRows: async (query, take, signal) => {
      for await (const rows of streamRows(books.reader, query, signal)) await take(rows);
    },
    instanceIds: [INSTANCE],
    logger: createLogger({ level: 'silent', pretty: false, destination: process.stderr }),
    now: () => books.nowMs,
  };
  addPages(app, sources as PageSources);
  const response = await app.request(path);
  return `${response.status} ${await response.text()}`;
};

beforeAll(async () => {
  const { pathname } = new URL(books.url);
  for (const setting of [`timezone = 'America/Santiago'`, `datestyle = 'German'`, `extra_float_digits = -5`])
    await asAdministrator(`alter database ${pathname.slice(1)} set ${setting}`);
  for (const [index, [key, [name, customerId, instanceId]]] of Object.entries(ORGS).entries()) {
    const orgId = await books.addOrg({ ...DAYS, name, customerId, instanceId });
    orgs[key] = orgId;
    reckoning.instances.set(orgId, instanceId);
    reckoning.customers.set(orgId, customerId === null ? [] : [[DAYS.from, customerId]]);
    await addCells(orgId, index + 1);
  }
  for (const instanceId of [INSTANCE, OTHER_INSTANCE]) {
    await books.close(MONTH, { instanceId });
    reckoning.bill(instanceId, MONTH, false);
  }
  await restate(orgs['tunnels'] ?? '', 9);
  await books.adjust(MONTH);
  reckoning.bill(INSTANCE, MONTH, true);
  // Not billed yet, so not on any statement.
  await restate(orgs['bridges'] ?? '', 90);
  out = join(books.folder, 'customers');
});

describe('statement --customers', () => {
  let written: readonly Written[];
  const findFile = (name: keyof typeof ORGS) => {
    const [, customerId, instanceId] = ORGS[name];
    return written.find(
      (each) => each.instanceId === instanceId && (each.customerId ?? each.orgId) === (customerId ?? orgs[name]),
    ) as Written;
  };
  const readCsv = async ({ csv }: Written): Promise<Record<string, string>[]> =>
    parse(await readFile(join(out, csv)), { columns: true, record_delimiter: '\r\n' });

  beforeAll(async () => {
    const ended = await runCustomers('customers', '--json');
    if (ended.code !== 0) throw new Error(ended.stderr);
    written = jsonOf<{ customers: readonly Written[] }>(ended).customers;
  });

  // Guarantee (Billing): The statements of all customers add up to what was billed.
  test('writes a page and a CSV file for each instance and customer, which add up to what was billed', async () => {
    const files = written.flatMap(({ html, csv }) => [html, csv]);
    expect((await readdir(out)).toSorted()).toEqual(files.toSorted());
    expect(written.map(({ name, html }) => `${name}: ${html.replace(/[0-9a-f]{8}\.html$/, '#')}`).toSorted()).toEqual([
      `${HOSTILE_NAME}: hyperlink-http-x-img-src-x-#`,
      'Acme Bridges and 1 more: acme-bridges-#',
      'Acme Bridges: acme-bridges-#',
      'Acme Bridges: acme-bridges-#',
      'Müller & Söhne: muller-sohne-#',
    ]);
    expect(files.filter((name) => !/^[a-z0-9-]{1,60}\.(?:html|csv)$/.test(name))).toEqual([]);
    const sums = new Map<string, bigint>();
    for (const file of written) {
      for (const row of await readCsv(file)) {
        const customer = (row['customer_id'] ?? '').replace(/^'/, '') || 'null';
        const key = `${customer} ${row['month']} ${row['metric']}`;
        sums.set(key, (sums.get(key) ?? 0n) + BigInt(row['quantity'] || 0));
      }
    }
    expect([...sums].map(([key, sum]) => `${key} ${sum} ${sum}`).toSorted()).toEqual(reckoning.listCustomers());
  });

  test('lists each statement with its number, hash and author, and what it bills for each organization', async () => {
    const rows = await readCsv(findFile('bridges'));
    const payloads = rows.filter(({ metric }) => metric === 'payload_billable_count');
    const text = ({ number, statement_kind, org_name, unit, billed_before, quantity, total }: Record<string, string>) =>
      [number, statement_kind, org_name, unit, billed_before, quantity, total].join(' ');
    expect(payloads.map(text)).toEqual([
      '1 closing Acme Bridges payloads  30 30',
      '1 closing Acme Tunnels payloads  60 60',
      '2 adjustment Acme Tunnels payloads 60 70 130',
    ]);
    const statements = await readStatements(books.reader.db, { month: MONTH, instanceIds: [INSTANCE] });
    const page = await readFile(join(out, findFile('bridges').html), 'utf8');
    for (const { number, manifestSha256, closedBy } of statements) {
      const seal = { manifest_sha256: manifestSha256, closed_by: closedBy };
      expect(payloads.find((row) => row['number'] === `${number}`)).toMatchObject(seal);
      expect(page).toContain(manifestSha256);
      expect(page).toContain(closedBy);
    }
    expect(page).toContain('Acme Bridges and 1 more, September 2026');
    const heads = Array.from(
      page.matchAll(/<h2>(.*?)<\/h2>|<th [^>]*>([\w -]+)<\/th>/g),
      (found) => found[1] ?? found[2],
    );
    const columns = ['Organization', 'Usage', 'Unit'];
    const [total, closing, adjustment] = ['Total of the month', 'Statement 1, closing', 'Statement 2, adjustment'].map(
      (title) => heads.slice(heads.indexOf(title) + 1),
    );
    expect(total?.slice(0, 3)).toEqual(['Usage', 'Unit', 'Billed']);
    expect(closing?.slice(0, 4)).toEqual([...columns, 'Billed']);
    expect(adjustment?.slice(0, 5)).toEqual(['Usage', 'Unit', 'Billed before', 'Difference', 'Total']);
    expect(page).not.toContain('not billed and not included');
  });

  test('writes pages that stand for themselves and contain no markup of others', async () => {
    for (const { html } of written) {
      const page = await readFile(join(out, html), 'utf8');
      expect(page.match(/<script|<link|<a |<img|@import|url\(|\u202e/g)).toBeNull();
    }
    const [row] = await readCsv(findFile('hostile'));
    expect(row).toMatchObject({ org_name: `'${HOSTILE_NAME}`, customer_id: "'=1+1" });
  });

  test('shows the days of the newest statement of each organization, as they were sealed', async () => {
    const statements = await readStatements(books.reader.db, { month: MONTH, instanceIds: [INSTANCE] });
    const customer = { customerId: 'cus_acme', orgId: null };
    using month = await SealedMonth.read(books.reader.db, statements, { customer, signal: SIGNAL });
    const [statement, ...others] = [...month.customers()];
    expect(others).toEqual([]);
    expect(statement?.dayMetric).toBe('payload_billable_count');
    const days = statement?.days.map(({ day, quantity }) => `${day} ${quantity}`);
    expect(days).toEqual(['2026-09-10 30', '2026-09-11 100', '2026-09-12 30']);
  });

  // Guarantee (Billing): The days on a customer's statement are those that it bills.
  test('shows no day that was not settled, and none of an adjustment of other metrics', async () => {
    const may = { from: '2026-05-10', to: '2026-05-12' };
    const orgId = await books.addOrg({ ...may, customerId: 'cus_may' });
    for (const stream of ['device_counts', 'payload_totals'])
      await books.addCells({ orgId, ...may, stream, numbers: numbersOf(stream, 1) });
    await books.setStanding(orgId, '2026-05-11', 'in_doubt', 'payload_totals');
    await books.setStanding(orgId, '2026-05-12', 'in_doubt', 'device_counts');
    await books.accept('2026-05');
    await books.setStanding(orgId, '2026-05-12', 'final', 'device_counts');
    const [old, numbers] = [numbersOf('payload_totals', 1), numbersOf('payload_totals', 90)];
    await books.restate(orgId, '2026-05-10', { stream: 'payload_totals', old, numbers });
    await books.accept('2026-05', { isAdjustment: true });
    const statements = await readStatements(books.reader.db, { month: '2026-05', instanceIds: [INSTANCE] });
    using month = await SealedMonth.read(books.reader.db, statements, { signal: SIGNAL });
    const [customer] = month.customers();
    const billed = customer?.lines.filter(({ metric }) => metric === customer.dayMetric);
    expect([statements.length, billed?.map(({ quantity }) => quantity)]).toEqual([2, ['20']]);
    expect(customer?.days).toEqual([
      { day: '2026-05-10', standing: 'final', quantity: 10, valuesNotStored: 0 },
      { day: '2026-05-11', standing: 'in_doubt', quantity: null, valuesNotStored: 1 },
      { day: '2026-05-12', standing: 'final', quantity: 10, valuesNotStored: 0 },
    ]);
    const page = await open(`/billing/2026-05/customer?instance=${INSTANCE}&customer=cus_may`);
    expect(page).toContain('1 value is not billed and not included.');
    // Both statements bill one organization.
    expect(page).toContain('<h2>Total of the month</h2>');
  });

  test.for([
    [['--month', '2026-08', '--out', '/nowhere'], '2026-08 is not closed, so it has no statement'],
    [['--month', '2026-08', '--instance', INSTANCE, '--out', '/nowhere'], `--month 2026-08 --instance ${INSTANCE}`],
    [['--month', MONTH], '--out'],
    [['--month', MONTH, '--out', ''], '--out="" is empty; give a folder'],
    [['--month', MONTH, '--out', '/nowhere/customers'], 'folder /nowhere does not exist'],
  ] as const)('rejects the options %j', async ([args, problem]) => {
    const ended = await run('statement', '--customers', ...args);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });

  test('says which instance has not closed the month', async () => {
    const march = { from: '2026-03-10', to: '2026-03-11' };
    for (const instanceId of [INSTANCE, OTHER_INSTANCE]) await books.addFinalOrg({ ...march, instanceId });
    await books.close('2026-03');
    const args = ['statement', '--month', '2026-03', '--customers', '--out', join(books.folder, 'march')];
    expect((await run(...args)).stdout).toContain(`Not closed, so not written: 2026-03 of instance ${OTHER_INSTANCE}.`);
  });
});

describe('a pack that somebody has changed in the database', () => {
  const FIRST = `(select statement_id from losant_usage.statements
    where instance_id = '${INSTANCE}' and month = '${MONTH}-01' and number = 1)`;

  beforeAll(() =>
    books.force(`create table saved_files as select * from losant_usage.statement_files;
      create table saved_statements as select * from losant_usage.statements`),
  );
  afterEach(() =>
    books.force(`delete from losant_usage.statement_files;
      insert into losant_usage.statement_files select * from saved_files;
      update losant_usage.statements s set manifest = b.manifest, closed_by = b.closed_by, closed_at = b.closed_at
      from saved_statements b where b.statement_id = s.statement_id`),
  );

  // Guarantee (Billing): A customer's statement is written only from a proof pack that nobody has changed.
  test.for([
    ['lines.csv', 'was changed', `update FILES set content = overlay(content placing '9' from 400) where NAME`],
    ['days.csv', 'was changed', `update FILES set content = '"'::bytea || content where NAME`],
    ['days.csv', 'is missing', 'delete from FILES where NAME'],
    ['the row', 'was changed', `update ROWS set closed_by = 'cfo' where true`],
    ['the row', 'was changed', `update ROWS set closed_at = closed_at - interval '1 s' where true`],
    ['manifest.json', 'was changed', `update ROWS set manifest = replace(manifest, '1', '2') where true`],
  ] as const)('is refused, because %s %s', async ([file, problem, change]) => {
    const names = { FILES: 'losant_usage.statement_files', ROWS: 'losant_usage.statements', NAME: `name = '${file}'` };
    const statement = change.replaceAll(/FILES|ROWS|NAME/g, (name) => names[name as keyof typeof names]);
    await books.force(`${statement} and statement_id = ${FIRST}`);
    const ended = await runCustomers('tampered');
    const message = `${file} of statement 1 of instance ${INSTANCE} ${problem} in the database`;
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining(message)]);
    expect((await readdir(books.folder)).filter((name) => name.startsWith('tampered'))).toEqual([]);
    expect(await open(`/billing/${MONTH}/customer?instance=${INSTANCE}&customer=cus_acme`)).toContain(message);
  });
});

test('a page counts namesakes, has quantities above 2^53 to the last digit, and no reason, which may name others', async () => {
  const org = { customer_id: 'cus_acme', org_name: 'Acme', referral_id: '', plan_id: '' };
  const metric = { metric: 'payload_all_bytes', unit: 'bytes', kind: 'flow' };
  const quantities = { billed_before: '9007199254740992', quantity: '1', total: '9007199254740993' };
  const orgIds = ['a', 'b'].map((digit) => digit.repeat(24));
  const lines = orgIds.map((orgId) => ({ number: 1, ...org, org_id: orgId, ...metric, ...quantities }));
  const statements = await readStatements(books.closer.db, { month: MONTH, instanceIds: [INSTANCE] });
  const instance = { instanceId: INSTANCE, name: null };
  const page = renderCustomerStatement(
    { key: { customerId: 'cus_acme', orgId: null }, lines, dayMetric: null, days: [] },
    {
      instance,
      month: MONTH,
      statements: statements.slice(0, 1).map((each) => ({ ...each, reason: 'agreed with Zenith' })),
      metrics: new Map(),
    },
  );
  expect(`${await page}`).toContain('<h1>Acme and 1 more, September 2026</h1>');
  expect(`${await page}`).toContain('<td class="n">9,007,199,254,740,993</td>');
  expect(`${await page}`).not.toContain('Zenith');
});

describe('the console', () => {
  const mainOf = (page: string) => page.slice(page.indexOf('<h1>'), page.indexOf('</main>')).trim();

  test('shows the same page as the file, reached from the customers of the month', async () => {
    const list = await open(`/billing/${MONTH}/customers?q=cus_acme`);
    const [address = ''] = /\/billing\/[^"]*customer=cus_acme[^"]*/.exec(list) ?? [];
    const page = await open(address.replaceAll('&amp;', '&'));
    const files = (await readdir(out)).filter((name) => name.endsWith('.html'));
    const mains = await Promise.all(files.map(async (name) => mainOf(await readFile(join(out, name), 'utf8'))));
    expect(mains).toContain(mainOf(page));
    expect(mainOf(page)).toContain('Acme Tunnels');
    const alone = await open(`/billing/${MONTH}/customer?instance=${INSTANCE}&org=${orgs['alone']}`);
    expect(mains).toContain(mainOf(alone));
    expect(mainOf(alone)).toContain('Müller &amp; Söhne');
  });

  test('has what a statement bills as a CSV file, by its number and by customer', async () => {
    const rowsOf = async (query: string): Promise<Record<string, string>[]> =>
      parse((await open(`/billing/${MONTH}/customers?format=csv&${query}`)).slice(4), { columns: true });
    const billed = (await rowsOf('number=2')).map((row) => `${row['customer_id']} ${row['metric']} ${row['quantity']}`);
    const metrics = ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'];
    expect(billed).toEqual(metrics.map((metric) => `cus_acme ${metric} 70`));
    expect(new Set((await rowsOf('q=Müller')).map((row) => row['org_id']))).toEqual(new Set([orgs['alone']]));
  });

  test('explains the next adjustment by its days, and says who closed', async () => {
    const days = await open(`/billing/${MONTH}/days?format=csv&only=unbilled`);
    const rows: Record<string, string>[] = parse(days.slice(4), { columns: true });
    const columns = ['org_name', 'metric', 'billed_quantity', 'quantity', 'cause'];
    expect(rows.map((row) => columns.map((name) => row[name]).join(' '))).toEqual([
      'Acme Bridges payload_all_bytes 12 902 restated',
      'Acme Bridges payload_all_count 11 901 restated',
      'Acme Bridges payload_billable_count 10 900 restated',
    ]);
  });

  test.for([
    '/billing/2026-13/customers',
    '/billing/2026-13/days',
    `/billing/${MONTH}/customer`,
    `/billing/${MONTH}/customer?instance=${INSTANCE}&customer=nobody`,
    `/billing/${MONTH}/customer?instance=${OTHER_INSTANCE}&customer=cus_acme`,
    `/billing/2026-08/customer?instance=${INSTANCE}&customer=cus_acme`,
  ])('%s is not found', async (path) => {
    expect((await open(path)).slice(0, 3)).toBe('404');
  });
});
