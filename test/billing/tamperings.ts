/** Proof packs that somebody changed, with hashes and chain written anew, and what is found of each. */
import { createHash, randomUUID } from 'node:crypto';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { type Books, DEVICES, SOURCES, TOTALS } from './books.ts';

export const MONTH = '2026-03';
export const ADJUSTMENT = 'adjustment-1';

/** Organizations of the packs: Acme has every stream and restated days, Beta an accepted day, Gamma a day that was late. */
export const ORG = {
  acme: '5d0000000000000000000001',
  beta: '5d0000000000000000000002',
  gamma: '5d0000000000000000000003',
} as const;

/** Closes March, with a blocker that was accepted, and adjusts it. Returns the folder of both packs. */
export async function closeMarch(books: Books, options: Parameters<Books['close']>[1] = {}): Promise<string> {
  const days = { from: `${MONTH}-10`, to: `${MONTH}-12` };
  for (const name of ['Acme', 'Beta', 'Gamma'])
    await books.addOrg({ ...days, name, customerId: `C-${name}` });
  const { acme, beta, gamma } = ORG;
  await books.addCells({ orgId: acme, ...days });
  await books.addCells({ orgId: acme, ...days, stream: 'payload_totals', numbers: TOTALS });
  await books.addCells({ orgId: acme, ...days, stream: 'payload_sources', numbers: SOURCES });
  await books.addCells({
    orgId: acme,
    ...days,
    stream: 'payload_hours',
    numbers: {
      hours_billable_count: Array(24).fill(0),
      hours_all_count: Array(24).fill(0),
      hours_all_bytes: Array(24).fill(0),
    },
  });
  await books.addCells({
    orgId: acme,
    ...days,
    stream: 'notebook_minutes',
    isReported: false,
    numbers: {
      notebook_minutes: 0,
      notebook_completed: 0,
      notebook_canceled: 0,
      notebook_errored: 0,
      notebook_timeout: 0,
    },
  });
  const restate = async (from: number, to: number) =>
    await books.restate(acme, `${MONTH}-11`, {
      old: { devices_created: from, devices_total: from + 13 },
      numbers: { devices_created: to, devices_total: to + 13 },
    });
  await restate(4, 6);
  await restate(6, 5);
  await books.restate(acme, `${MONTH}-12`, {
    stream: 'payload_hours',
    old: { hours_all_count: { '5': 1, '7': 0 } },
    numbers: { hours_all_count: { '5': 0, '7': 1 } },
  });
  await books.addCells({ orgId: beta, from: `${MONTH}-10`, to: `${MONTH}-11` });
  await books.addCells({ orgId: beta, from: `${MONTH}-12`, standing: 'missing', numbers: null });
  await books.waive(beta, `${MONTH}-12`);
  await books.addCells({ orgId: gamma, from: `${MONTH}-10`, to: `${MONTH}-11` });
  await books.addCells({ orgId: gamma, from: `${MONTH}-12`, numbers: { ...DEVICES, devices_total: 19 } });
  await books.setStanding(gamma, `${MONTH}-12`, 'in_doubt');
  await books.accept(MONTH, options);
  await books.setStanding(gamma, `${MONTH}-12`, 'final');
  await books.restate(acme, `${MONTH}-10`, {
    stream: 'payload_sources',
    old: { payload_source_count: 12, payload_sources: { timer: { 'timer.flow': 7 }, webhook: { hook: 5 } } },
    numbers: {
      payload_source_count: 13,
      payload_sources: { timer: { 'timer.flow': 8 }, webhook: { hook: 5 } },
    },
  });
  await books.close(MONTH, { ...options, isAdjustment: true });
  const { out, problems } = await books.verifyMonth(MONTH);
  if (problems.length > 0) throw new Error(`an honest pack does not hold: ${JSON.stringify(problems)}`);
  return out;
}

type Row = Record<string, string>;

interface ManifestText {
  statement: Record<string, unknown> & { earlier: { instanceId: string; number: number; sha256: string }[] };
  checks: number;
  files: { name: string; bytes: number; sha256: string }[];
}

/** A copy of packs for somebody to change. */
export class Copy {
  readonly out: string;

  private constructor(out: string) {
    this.out = out;
  }

  static async of(packs: string): Promise<Copy> {
    const out = `${packs}-copy-${randomUUID()}`;
    await cp(packs, out, { recursive: true });
    return new Copy(out);
  }

  path(...names: readonly string[]): string {
    return join(this.out, ...names);
  }

  /** Changes the text of a file, and nothing else. */
  async edit(name: string, change: (text: string) => string): Promise<void> {
    const before = await readFile(this.path(name), 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`nothing of ${name} is changed`);
    await writeFile(this.path(name), after);
  }

  async editManifest(change: (manifest: ManifestText) => void, folder = ''): Promise<void> {
    await this.edit(join(folder, 'manifest.json'), (text) => {
      const manifest = JSON.parse(text) as ManifestText;
      change(manifest);
      return `${JSON.stringify(manifest, null, 2)}\n`;
    });
  }

  /** Changes a file and writes its hash and size anew, and the chain behind it. */
  async forge(name: string, change: (text: string) => string, folder = ''): Promise<void> {
    await this.edit(join(folder, name), change);
    const text = await readFile(this.path(folder, name), 'utf8');
    await this.editManifest(({ files }) => {
      for (const file of files.filter((each) => each.name === name)) {
        file.bytes = Buffer.byteLength(text);
        file.sha256 = createHash('sha256').update(text).digest('hex');
      }
    }, folder);
    if (folder === '') await this.chain();
  }

  /** Changes the rows of a file. */
  async forgeRows(name: string, change: (rows: Row[]) => Row[], folder = ''): Promise<void> {
    await this.forge(
      name,
      (text) => {
        const rows = parse<Row>(text, { columns: true, record_delimiter: '\r\n' });
        const [head = ''] = text.split('\r\n');
        return `${head}\r\n${stringify(change(rows), { columns: head.split(','), record_delimiter: '\r\n' })}`;
      },
      folder,
    );
  }

  /** Lets the adjustment follow the closing as it is now. */
  async chain(): Promise<void> {
    const sha256 = createHash('sha256')
      .update(await readFile(this.path('manifest.json')))
      .digest('hex');
    await this.editManifest(({ statement }) => {
      statement['previousSha256'] = sha256;
      for (const each of statement.earlier) each.sha256 = sha256;
    }, ADJUSTMENT);
  }
}

/** What is done to the packs, and the file and the problem that are named for it. */
export interface Tampering {
  readonly what: string;
  readonly change: (copy: Copy) => Promise<void>;
  readonly file: string;
  readonly problem: RegExp;
}

type Where = Partial<Row>;
const isIn = (where: Where) => (row: Row) =>
  Object.entries(where).every(([name, value]) => row[name] === value);

/** Sets cells of the first row that has these values. */
const set =
  (name: string, where: Where, cells: Row, folder = '') =>
  async (copy: Copy): Promise<void> =>
    await copy.forgeRows(
      name,
      (rows) => {
        const row = rows.find(isIn(where));
        if (row === undefined) throw new Error(`${name} has no row ${JSON.stringify(where)}`);
        Object.assign(row, cells);
        return rows;
      },
      folder,
    );

const remove =
  (name: string, where: Where, folder = '') =>
  async (copy: Copy): Promise<void> =>
    await copy.forgeRows(name, (rows) => rows.filter((row) => !isIn(where)(row)), folder);

/** Adds a row that is like one that is there. */
const add =
  (name: string, where: Where, cells: Row, folder = '') =>
  async (copy: Copy): Promise<void> =>
    await copy.forgeRows(name, (rows) => [...rows, { ...rows.find(isIn(where)), ...cells }], folder);

const all =
  (...changes: readonly ((copy: Copy) => Promise<void>)[]) =>
  async (copy: Copy): Promise<void> => {
    for (const change of changes) await change(copy);
  };

const { acme, beta, gamma } = ORG;
const [day10, day11, day12] = [`${MONTH}-10`, `${MONTH}-11`, `${MONTH}-12`];
const created = { org_id: acme, metric: 'devices_created' };
const total = { org_id: acme, metric: 'devices_total' };
const acmeDay = { org_id: acme, usage_date: day10 };
const acmeCell = { ...acmeDay, stream: 'device_counts' };
const cell11 = { org_id: acme, usage_date: day11, stream: 'device_counts' };

const RULES: readonly (readonly [string, (copy: Copy) => Promise<void>, string, RegExp])[] = [
  [
    'a quantity of a line',
    set('lines.csv', created, { quantity: '12' }),
    'lines.csv',
    /quantity is not its total/,
  ],
  [
    'a quantity with its total',
    set('lines.csv', created, { quantity: '12', total: '12' }),
    'lines.csv',
    /total is 12, not the sum/,
  ],
  [
    'a quantity, total, and totals.csv',
    all(
      set('lines.csv', created, { quantity: '20', total: '20' }),
      set('totals.csv', { metric: 'devices_created' }, { quantity: '36' }),
    ),
    'lines.csv',
    /total is 20, not the sum/,
  ],
  [
    'a total of all',
    set('totals.csv', { metric: 'devices_created' }, { quantity: '1' }),
    'totals.csv',
    /devices_created is not the sum/,
  ],
  [
    'organizations of a total',
    set('totals.csv', { metric: 'devices_created' }, { orgs: '4' }),
    'totals.csv',
    /is not the sum/,
  ],
  [
    'a total left out',
    remove('totals.csv', { metric: 'devices_total' }),
    'totals.csv',
    /devices_total is not the sum/,
  ],
  [
    'a total made up',
    add('totals.csv', { metric: 'devices_total' }, { metric: 'licences' }),
    'totals.csv',
    /licences is not the sum/,
  ],
  [
    'a level that is not the last',
    set('lines.csv', total, { quantity: '18', total: '18' }),
    'lines.csv',
    /not the last, greatest and average/,
  ],
  [
    'a maximum',
    set('lines.csv', total, { maximum: '99' }),
    'lines.csv',
    /not the last, greatest and average/,
  ],
  [
    'an average',
    set('lines.csv', total, { average: '18.33' }),
    'lines.csv',
    /not the last, greatest and average/,
  ],
  [
    'a maximum of a flow',
    set('lines.csv', created, { maximum: '6' }),
    'lines.csv',
    /has a maximum or average/,
  ],
  ['a unit', set('lines.csv', created, { unit: 'dozens' }), 'lines.csv', /no metric of this unit/],
  ['a kind', set('lines.csv', created, { kind: 'level' }), 'lines.csv', /no metric of this unit/],
  [
    'a metric of its own',
    add('lines.csv', created, { metric: 'licences' }),
    'lines.csv',
    /no metric of this unit/,
  ],
  [
    'days of a line',
    set('lines.csv', created, { days_final: '2', days_accepted: '1' }),
    'lines.csv',
    /not those of cells.csv/,
  ],
  [
    'days that do not add up',
    set('lines.csv', created, { days_expected: '4' }),
    'lines.csv',
    /days do not add up/,
  ],
  [
    'unreported days of a line',
    set('lines.csv', { org_id: acme, metric: 'notebook_minutes' }, { days_unreported: '0' }),
    'lines.csv',
    /not those of cells/,
  ],
  ['a line left out', remove('lines.csv', created), 'lines.csv', /devices_created: is missing/],
  ['a line twice', add('lines.csv', created, {}), 'lines.csv', /1 rows have the key of another row/],
  [
    'a closing that was billed before',
    set('lines.csv', created, { billed_before: '5', quantity: '8' }),
    'lines.csv',
    /billed_before is 5/,
  ],
  [
    'a line of an organization without days',
    add('lines.csv', created, { org_id: `${'5d'.padEnd(23, '0')}9` }),
    'lines.csv',
    /0009 devices_created: its days/,
  ],
  [
    'a total in exponents',
    set('lines.csv', created, { total: '1e1' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a total with leading zeros',
    set('lines.csv', created, { total: '0013' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a total with a space',
    set('lines.csv', created, { total: ' 13' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a total with a sign',
    set('lines.csv', created, { total: '+13' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a total with a fraction',
    set('lines.csv', created, { total: '13.0' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a total beyond 64 bits',
    set('lines.csv', created, { total: '99999999999999999999' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'a negative total',
    set('lines.csv', created, { total: '-1', quantity: '-1' }),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'days in words',
    set('lines.csv', created, { days_final: 'three' }),
    'lines.csv',
    /is not written as a line/,
  ],
  ['an id', set('lines.csv', created, { org_id: 'ACME' }), 'lines.csv', /is not written as a line/],
  [
    'a row cut short',
    async (copy) => await copy.forge('lines.csv', (text) => text.replace(/,\d+\r\n$/, '\r\n')),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    'columns swapped',
    async (copy) =>
      await copy.forge('lines.csv', (text) =>
        text.replace('quantity,billed_before', 'billed_before,quantity'),
      ),
    'lines.csv',
    /names other columns/,
  ],
  [
    'a file without its columns',
    async (copy) => await copy.forge('waivers.csv', () => ''),
    'waivers.csv',
    /names other columns/,
  ],
  [
    'a number of a day',
    set('days.csv', acmeDay, { devices_created: '5' }),
    'lines.csv',
    /not the sum of days.csv/,
  ],
  [
    'a number of a day and its line',
    all(
      set('days.csv', acmeDay, { payload_all_count: '13' }),
      set('lines.csv', { org_id: acme, metric: 'payload_all_count' }, { quantity: '37', total: '37' }),
    ),
    'totals.csv',
    /payload_all_count is not the sum/,
  ],
  [
    'a number of a day that was changed',
    set('days.csv', { org_id: acme, usage_date: day11 }, { devices_created: '6' }),
    'revisions.csv',
    /its last change of devices_created is to 5/,
  ],
  ['a day left out', remove('days.csv', acmeDay), 'days.csv', /2026-03-10: is missing/],
  [
    'a day made up',
    add('days.csv', acmeDay, { usage_date: `${MONTH}-20` }),
    'days.csv',
    /2026-03-20: has no cell/,
  ],
  ['a day twice', add('days.csv', acmeDay, {}), 'days.csv', /1 rows have the key of another row/],
  [
    'a day of another month, with its cell',
    all(
      add('days.csv', acmeDay, { usage_date: '2026-04-01' }),
      add('cells.csv', acmeCell, { usage_date: '2026-04-01' }),
    ),
    'cells.csv',
    /2026-04-01 device_counts: day outside the month/,
  ],
  [
    'the standing of a day',
    set('days.csv', { org_id: beta, usage_date: day12 }, { standing: 'final' }),
    'days.csv',
    /is final, which is not that of its worst cell/,
  ],
  [
    'what a day was reported',
    set('days.csv', acmeDay, { is_reported: 'true' }),
    'days.csv',
    /is_reported is not as in cells.csv/,
  ],
  [
    'a number of a day that is not stored',
    set(
      'days.csv',
      { org_id: beta, usage_date: day12 },
      { devices_created: '0', devices_deleted: '0', devices_total: '0' },
    ),
    'days.csv',
    /a number is there and its cell not stored/,
  ],
  [
    'a number of a day taken away',
    set('days.csv', acmeDay, { devices_deleted: '' }),
    'days.csv',
    /a number is there and its cell not stored/,
  ],
  [
    'a negative number of a day',
    set('days.csv', acmeDay, { devices_created: '-4' }),
    'days.csv',
    /is not written as a day/,
  ],
  [
    'the standing of a cell',
    set('cells.csv', { org_id: gamma, usage_date: day12 }, { standing: 'final' }),
    'lines.csv',
    /not those of cells.csv/,
  ],
  [
    'a missing cell that is final',
    set('cells.csv', { org_id: beta, usage_date: day12 }, { standing: 'final' }),
    'cells.csv',
    /is final, and its numbers are not stored/,
  ],
  [
    'a final cell that was never read',
    set('cells.csv', acmeCell, { verified_at: '' }),
    'cells.csv',
    /is final, and its numbers are stored/,
  ],
  [
    'a cell read before its day was over',
    set('cells.csv', acmeCell, { verified_at: `${day10}T23:59:59.999999Z` }),
    'cells.csv',
    /was read before its day was over/,
  ],
  [
    'a cell read after the statement',
    set('cells.csv', acmeCell, { verified_at: '2027-03-14T00:00:00.000000Z' }),
    'cells.csv',
    /was read after the statement/,
  ],
  ['a cell left out', remove('cells.csv', acmeCell), 'lines.csv', /devices_created: its days are not those/],
  [
    'a cell of another organization',
    add('cells.csv', acmeCell, { org_id: `${'5d'.padEnd(23, '0')}9` }),
    'cells.csv',
    /organization without a line/,
  ],
  [
    'a standing that there is not',
    set('cells.csv', acmeCell, { standing: 'perfect' }),
    'cells.csv',
    /is not written as a cell/,
  ],
  [
    'a hash of an answer',
    set('cells.csv', acmeCell, { response_sha256: 'x' }),
    'cells.csv',
    /is not written as a cell/,
  ],
  [
    'a revision of a cell',
    set('cells.csv', cell11, { revision: '4' }),
    'revisions.csv',
    /2 changes of a cell of version 4/,
  ],
  [
    'a stored cell of no version',
    set('cells.csv', acmeCell, { revision: '0' }),
    'cells.csv',
    /its numbers are stored/,
  ],
  [
    'a change left out',
    remove('revisions.csv', { ...cell11, revision: '2' }),
    'revisions.csv',
    /1 changes of a cell of version 3/,
  ],
  [
    'all changes left out',
    remove('revisions.csv', { org_id: acme }),
    'revisions.csv',
    /0 changes of a cell of version/,
  ],
  [
    'a change made up',
    add('revisions.csv', cell11, { revision: '4' }),
    'revisions.csv',
    /version 4 of a cell that has no such version/,
  ],
  [
    'what a change began with',
    set(
      'revisions.csv',
      { ...cell11, revision: '3' },
      { old: '{"devices_total": 19, "devices_created": 7}' },
    ),
    'revisions.csv',
    /changes \$\."?devices_created"? from 7, which is not what version 2 made of it/,
  ],
  [
    'what a change made',
    set(
      'revisions.csv',
      { ...cell11, revision: '3' },
      { new: '{"devices_total": 18, "devices_created": 6}' },
    ),
    'revisions.csv',
    /version 3 changes nothing|its last change of devices_created is to 6/,
  ],
  [
    'a change of nothing',
    set(
      'revisions.csv',
      { ...cell11, revision: '2' },
      { old: '{"devices_total": 19, "devices_created": 6}' },
    ),
    'revisions.csv',
    /version 2 changes nothing/,
  ],
  [
    'a change after the statement',
    set('revisions.csv', { ...cell11, revision: '3' }, { changed_at: '2027-01-01T00:00:00.000000Z' }),
    'revisions.csv',
    /after the statement/,
  ],
  [
    'a change before its day was over',
    set('revisions.csv', { ...cell11, revision: '2' }, { changed_at: `${day11}T12:00:00.000000Z` }),
    'revisions.csv',
    /was changed before its day was over/,
  ],
  [
    'a change that is no JSON',
    set('revisions.csv', { ...cell11, revision: '2' }, { old: '{' }),
    'revisions.csv',
    /is not written as a revision/,
  ],
  [
    'a waiver left out',
    remove('waivers.csv', { org_id: beta }),
    'waivers.csv',
    /is accepted in cells.csv, by no waiver in force/,
  ],
  [
    'a waiver that was lifted',
    set('waivers.csv', { org_id: beta }, { lifted_at: '2027-01-01T00:00:00.000000Z' }),
    'waivers.csv',
    /by no waiver in force/,
  ],
  [
    'a waiver of a cell that is not accepted',
    add('waivers.csv', { org_id: beta }, { id: '99', org_id: acme }),
    'waivers.csv',
    /a waiver in force of a cell that is not accepted/,
  ],
  [
    'a waiver after the statement',
    set('waivers.csv', { org_id: beta }, { waived_at: '2027-01-01T00:00:00.000000Z' }),
    'waivers.csv',
    /was waived after the statement/,
  ],
  [
    'a waiver without a reason',
    set('waivers.csv', { org_id: beta }, { reason: '' }),
    'waivers.csv',
    /is not written as a waiver/,
  ],
  [
    'a source',
    set('sources.csv', { source: 'hook' }, { total: '16' }),
    'sources.csv',
    /total is not that of payload_source_count/,
  ],
  [
    'a source left out',
    remove('sources.csv', { source: 'hook' }),
    'sources.csv',
    /total is not that of payload_source_count/,
  ],
  [
    'sources of another organization',
    add('sources.csv', { source: 'hook' }, { org_id: beta }),
    'sources.csv',
    /0002: total is not that/,
  ],
  [
    'the blockers left out',
    remove('blockers.csv', {}),
    'statement.csv',
    /it has a reason, and nothing blocked it/,
  ],
  [
    'a blocker of other days',
    set('blockers.csv', { org_id: gamma }, { first_day: day11, days: '2' }),
    'blockers.csv',
    /in_doubt: is not what cells.csv says/,
  ],
  [
    'a blocker of another cause',
    set('blockers.csv', { org_id: gamma }, { cause: 'missing' }),
    'blockers.csv',
    /is not what cells.csv says/,
  ],
  [
    'a blocker of more streams',
    set('blockers.csv', { org_id: gamma }, { streams: 'device_counts payload_totals' }),
    'blockers.csv',
    /is not what cells.csv says/,
  ],
  [
    'a blocker that may not be accepted',
    set('blockers.csv', { org_id: gamma }, { cause: 'not_over' }),
    'blockers.csv',
    /is not written as a blocker/,
  ],
  [
    'a blocker of another month',
    set('blockers.csv', { org_id: gamma }, { last_day: '2026-04-01' }),
    'blockers.csv',
    /is not of this month/,
  ],
  [
    'the reason',
    set('statement.csv', {}, { reason: '' }),
    'statement.csv',
    /something blocked it, and it has no reason/,
  ],
  [
    'the number of organizations',
    set('statement.csv', {}, { orgs: '2' }),
    'statement.csv',
    /orgs is 2, lines.csv has 3/,
  ],
  [
    'when it was closed',
    set('statement.csv', {}, { closed_at: '2026-03-31T23:00:00.000000Z' }),
    'statement.csv',
    /its month was not over/,
  ],
  ['its month', set('statement.csv', {}, { month: '2026-04' }), 'cells.csv', /day outside the month/],
  [
    'who closed it',
    set('statement.csv', {}, { closed_by: 'cfo' }),
    'statement.csv',
    /closed_by is not that of the manifest/,
  ],
  ['a second statement', add('statement.csv', {}, {}), 'statement.csv', /has 2 rows instead of one/],
  [
    'what an adjustment says was billed',
    set(
      'lines.csv',
      { org_id: gamma, metric: 'devices_created' },
      { billed_before: '6', quantity: '6' },
      ADJUSTMENT,
    ),
    `${ADJUSTMENT}/lines.csv`,
    /billed_before is 6, the statements before it billed 8/,
  ],
  [
    'an adjustment of nothing billed',
    set(
      'lines.csv',
      { org_id: gamma, metric: 'devices_created' },
      { billed_before: '', quantity: '12' },
      ADJUSTMENT,
    ),
    `${ADJUSTMENT}/lines.csv`,
    /billed_before is none, the statements before it billed 8/,
  ],
  [
    'an adjustment that is not settled',
    all(
      set('cells.csv', { org_id: gamma, usage_date: day12 }, { standing: 'in_doubt' }, ADJUSTMENT),
      set(
        'lines.csv',
        { org_id: gamma, metric: 'devices_created' },
        { days_final: '2', days_in_doubt: '1' },
        ADJUSTMENT,
      ),
    ),
    `${ADJUSTMENT}/lines.csv`,
    /adjusted, although it is not settled/,
  ],
  [
    'a quantity that the adjustment rests on',
    all(set('lines.csv', { org_id: gamma, metric: 'devices_created' }, { quantity: '9', total: '9' })),
    `${ADJUSTMENT}/lines.csv`,
    /billed_before is 8, the statements before it billed 9/,
  ],
];

export const TAMPERINGS: readonly Tampering[] = RULES.map(([what, change, file, problem]) => ({
  what,
  change,
  file,
  problem,
}));
