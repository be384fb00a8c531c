/** What somebody changed in a proof pack, and what is found of it. */
import {
  ADJUSTMENT,
  add,
  all,
  forge,
  MONTH,
  ORG,
  remove,
  set,
  setStatement,
  type Tampering,
} from './copies.ts';

const { acme, beta, gamma } = ORG;
const OF_ADJUSTMENT = `${ADJUSTMENT}/lines.csv`;
const STRANGER = `${'5d'.padEnd(23, '0')}9`;
const CHANGED = '{"devices_total": 19, "devices_created": 6}';
const LATER = '2027-01-01T00:00:00.000000Z';
const [day10, day11, day12] = [`${MONTH}-10`, `${MONTH}-11`, `${MONTH}-12`];
const created = { org_id: acme, metric: 'devices_created' };
const adjusted = { org_id: gamma, metric: 'devices_created' };
const total = { org_id: acme, metric: 'devices_total' };
const notebooks = { org_id: acme, metric: 'notebook_minutes' };
const ofBeta = { org_id: beta };
const ofGamma = { org_id: gamma };
const acmeDay = { org_id: acme, usage_date: day10 };
const acmeDay11 = { org_id: acme, usage_date: day11 };
const betaDay = { org_id: beta, usage_date: day12 };
const gammaDay = { org_id: gamma, usage_date: day12 };
const acmeCell = { ...acmeDay, stream: 'device_counts' };
const cell11 = { ...acmeDay11, stream: 'device_counts' };
const version2 = { ...cell11, revision: '2' };
const version3 = { ...cell11, revision: '3' };

export const TAMPERINGS: readonly Tampering[] = [
  [set('lines.csv', created, { quantity: '12' }), /quantity is not its total/],
  [set('lines.csv', created, { quantity: '12', total: '12' }), /total is 12, not the sum/],
  [
    all(
      set('lines.csv', created, { quantity: '20', total: '20' }),
      set('totals.csv', { metric: 'devices_created' }, { quantity: '36' }),
    ),
    /total is 20, not the sum/,
    'lines.csv',
  ],
  [set('totals.csv', { metric: 'devices_created' }, { quantity: '1' }), /devices_created is not the sum/],
  [set('totals.csv', { metric: 'devices_created' }, { orgs: '4' }), /is not the sum/],
  [remove('totals.csv', { metric: 'devices_total' }), /devices_total is not the sum/],
  [add('totals.csv', { metric: 'devices_total' }, { metric: 'licences' }), /licences is not the sum/],
  [set('lines.csv', total, { quantity: '18', total: '18' }), /not the last, greatest and average/],
  [set('lines.csv', total, { maximum: '99' }), /not the last, greatest and average/],
  [set('lines.csv', total, { average: '18.33' }), /not the last, greatest and average/],
  [set('lines.csv', created, { maximum: '6' }), /has a maximum or average/],
  [set('lines.csv', created, { unit: 'dozens' }), /no metric of this unit/],
  [set('lines.csv', created, { kind: 'level' }), /no metric of this unit/],
  [add('lines.csv', created, { metric: 'licences' }), /no metric of this unit/],
  [set('lines.csv', created, { days_final: '2', days_waived: '1' }), /not those of cells.csv/],
  [set('lines.csv', created, { days_expected: '4' }), /days do not add up/],
  [set('lines.csv', notebooks, { days_unreported: '0' }), /not those of cells/],
  [remove('lines.csv', created), /devices_created: is required/],
  [add('lines.csv', created, {}), /1 rows have the key of another row/],
  [set('lines.csv', created, { billed_before: '5', quantity: '8' }), /billed_before is 5/],
  [add('lines.csv', created, { org_id: STRANGER }), /0009 devices_created: its days/],
  ...['1e1', '0013', ' 13', '+13', '13.0', '99999999999999999999'].map(
    (digits): Tampering => [set('lines.csv', created, { total: digits }), /is not written as a line/],
  ),
  [set('lines.csv', created, { total: '-1', quantity: '-1' }), /is not written as a line/],
  [set('lines.csv', created, { days_final: 'three' }), /is not written as a line/],
  [set('lines.csv', created, { org_id: 'ACME' }), /is not written as a line/],
  [forge('lines.csv', (text) => text.replace(/,\d+\r\n$/, '\r\n')), /is not written as a line/],
  [forge('lines.csv', (text) => text.replace(/(quantity),(billed_before)/, '$2,$1')), /names other columns/],
  [forge('waivers.csv', () => ''), /names other columns/],
  [set('days.csv', acmeDay, { devices_created: '5' }), /not the sum of days.csv/, 'lines.csv'],
  [
    all(
      set('days.csv', acmeDay, { payload_all_count: '13' }),
      set('lines.csv', { org_id: acme, metric: 'payload_all_count' }, { quantity: '37', total: '37' }),
    ),
    /payload_all_count is not the sum/,
    'totals.csv',
  ],
  [
    set('days.csv', acmeDay11, { devices_created: '6' }),
    /last change of devices_created is to 5/,
    'revisions.csv',
  ],
  [remove('days.csv', acmeDay), /2026-03-10: is required/],
  [add('days.csv', acmeDay, { usage_date: `${MONTH}-20` }), /2026-03-20: has no cell/],
  [add('days.csv', acmeDay, {}), /1 rows have the key of another row/],
  [
    all(
      add('days.csv', acmeDay, { usage_date: '2026-04-01' }),
      add('cells.csv', acmeCell, { usage_date: '2026-04-01' }),
    ),
    /2026-04-01 device_counts: day outside the month/,
    'cells.csv',
  ],
  [set('days.csv', betaDay, { standing: 'final' }), /is final, which is not that of its worst cell/],
  [set('days.csv', acmeDay, { is_reported: 'true' }), /is_reported is not as in cells.csv/],
  [
    set('days.csv', betaDay, { devices_created: '0', devices_deleted: '0', devices_total: '0' }),
    /a number is there and its cell not stored/,
  ],
  [set('days.csv', acmeDay, { devices_deleted: '' }), /a number is there and its cell not stored/],
  [set('days.csv', acmeDay, { devices_created: '-4' }), /is not written as a day/],
  [set('cells.csv', gammaDay, { standing: 'final' }), /not those of cells.csv/, 'lines.csv'],
  [set('cells.csv', betaDay, { standing: 'final' }), /is final, and its numbers are not stored/],
  [set('cells.csv', acmeCell, { last_read_at: '' }), /is final, and its numbers are stored/],
  [set('cells.csv', acmeCell, { last_read_at: `${day10}T23:59:59.999999Z` }), /read before its day was over/],
  [set('cells.csv', acmeCell, { last_read_at: LATER }), /was read after the statement/],
  [remove('cells.csv', acmeCell), /devices_created: its days are not those/, 'lines.csv'],
  [add('cells.csv', acmeCell, { org_id: STRANGER }), /organization without a line/],
  [set('cells.csv', acmeCell, { standing: 'perfect' }), /is not written as a cell/],
  [set('cells.csv', acmeCell, { response_sha256: 'x' }), /is not written as a cell/],
  [set('cells.csv', cell11, { revision: '4' }), /2 changes of a cell of version 4/, 'revisions.csv'],
  [set('cells.csv', acmeCell, { revision: '0' }), /its numbers are stored/],
  [remove('revisions.csv', version2), /1 changes of a cell of version 3/],
  [remove('revisions.csv', { org_id: acme }), /0 changes of a cell of version/],
  [add('revisions.csv', cell11, { revision: '4' }), /version 4 of a cell that has no such version/],
  [
    set('revisions.csv', version3, { old: '{"devices_total": 19, "devices_created": 7}' }),
    /changes \$\."?devices_created"? from 7, which is not what version 2 made of it/,
  ],
  [
    set('revisions.csv', version3, { new: '{"devices_total": 18, "devices_created": 6}' }),
    /version 3 changes nothing|its last change of devices_created is to 6/,
  ],
  [set('revisions.csv', version2, { old: CHANGED }), /version 2 changes nothing/],
  [set('revisions.csv', version3, { changed_at: LATER }), /after the statement/],
  [set('revisions.csv', version2, { changed_at: `${day11}T12:00:00.000000Z` }), /changed before its day was/],
  [set('revisions.csv', version2, { old: '{' }), /is not written as a revision/],
  [remove('waivers.csv', ofBeta), /is accepted in cells.csv, by no waiver in force/],
  [set('waivers.csv', ofBeta, { lifted_at: LATER }), /by no waiver in force/],
  [add('waivers.csv', ofBeta, { id: '99', org_id: acme }), /waiver in force of a cell that is not accepted/],
  [set('waivers.csv', ofBeta, { waived_at: LATER }), /was waived after the statement/],
  [set('waivers.csv', ofBeta, { reason: '' }), /is not written as a waiver/],
  [set('sources.csv', { source: 'hook' }, { total: '16' }), /total is not that of payload_source_count/],
  [remove('sources.csv', { source: 'hook' }), /total is not that of payload_source_count/],
  [add('sources.csv', { source: 'hook' }, ofBeta), /0002: total is not that/],
  [remove('blockers.csv', {}), /it has a reason, and nothing blocked it/, 'manifest.json'],
  [setStatement({ reason: null }), /something blocked it, and it has no reason/],
  [setStatement({ orgs: 2 }), /orgs is 2, lines.csv has 3/],
  [setStatement({ closedAt: '1 May' }), /is not that of a statement/],
  [setStatement({ closedAt: '2026-03-31T23:00:00.000000Z' }), /its month was not over/],
  [set('blockers.csv', ofGamma, { first_day: day11, days: '2' }), /in_doubt: is not what cells.csv says/],
  [set('blockers.csv', ofGamma, { cause: 'missing' }), /is not what cells.csv says/],
  [set('blockers.csv', ofGamma, { streams: 'device_counts payload_totals' }), /is not what cells.csv says/],
  [set('blockers.csv', ofGamma, { cause: 'not_over' }), /is not written as a blocker/],
  [set('blockers.csv', ofGamma, { last_day: '2026-04-01' }), /is not of this month/],
  [
    set('lines.csv', adjusted, { billed_before: '6', quantity: '6' }, ADJUSTMENT),
    /is 6, .* before it billed 8/,
  ],
  [set('lines.csv', adjusted, { billed_before: '', quantity: '12' }, ADJUSTMENT), /is none, .* it billed 8/],
  [
    all(
      set('cells.csv', gammaDay, { standing: 'in_doubt' }, ADJUSTMENT),
      set('lines.csv', adjusted, { days_final: '2', days_in_doubt: '1' }, ADJUSTMENT),
    ),
    /adjusted, although it is not settled/,
    OF_ADJUSTMENT,
  ],
  [set('lines.csv', adjusted, { quantity: '9', total: '9' }), /is 8, .* before it billed 9/, OF_ADJUSTMENT],
];
