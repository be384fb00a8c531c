/** Lines, totals, days and sources that somebody changed, and what is found of each. */
import { add, all, MONTH, ORG, remove, set, type Tampering } from './copies.ts';

const { acme, beta } = ORG;
const [day10, day11, day12] = [`${MONTH}-10`, `${MONTH}-11`, `${MONTH}-12`];
const created = { org_id: acme, metric: 'devices_created' };
const total = { org_id: acme, metric: 'devices_total' };
const acmeDay = { org_id: acme, usage_date: day10 };
const acmeCell = { ...acmeDay, stream: 'device_counts' };

export const TAMPERED_NUMBERS: readonly Tampering[] = [
  [set('lines.csv', created, { quantity: '12' }), 'lines.csv', /quantity is not its total/],
  [set('lines.csv', created, { quantity: '12', total: '12' }), 'lines.csv', /total is 12, not the sum/],
  [
    all(
      set('lines.csv', created, { quantity: '20', total: '20' }),
      set('totals.csv', { metric: 'devices_created' }, { quantity: '36' }),
    ),
    'lines.csv',
    /total is 20, not the sum/,
  ],
  [
    set('totals.csv', { metric: 'devices_created' }, { quantity: '1' }),
    'totals.csv',
    /devices_created is not the sum/,
  ],
  [set('totals.csv', { metric: 'devices_created' }, { orgs: '4' }), 'totals.csv', /is not the sum/],
  [remove('totals.csv', { metric: 'devices_total' }), 'totals.csv', /devices_total is not the sum/],
  [
    add('totals.csv', { metric: 'devices_total' }, { metric: 'licences' }),
    'totals.csv',
    /licences is not the sum/,
  ],
  [
    set('lines.csv', total, { quantity: '18', total: '18' }),
    'lines.csv',
    /not the last, greatest and average/,
  ],
  [set('lines.csv', total, { maximum: '99' }), 'lines.csv', /not the last, greatest and average/],
  [set('lines.csv', total, { average: '18.33' }), 'lines.csv', /not the last, greatest and average/],
  [set('lines.csv', created, { maximum: '6' }), 'lines.csv', /has a maximum or average/],
  [set('lines.csv', created, { unit: 'dozens' }), 'lines.csv', /no metric of this unit/],
  [set('lines.csv', created, { kind: 'level' }), 'lines.csv', /no metric of this unit/],
  [add('lines.csv', created, { metric: 'licences' }), 'lines.csv', /no metric of this unit/],
  [set('lines.csv', created, { days_final: '2', days_accepted: '1' }), 'lines.csv', /not those of cells.csv/],
  [set('lines.csv', created, { days_expected: '4' }), 'lines.csv', /days do not add up/],
  [
    set('lines.csv', { org_id: acme, metric: 'notebook_minutes' }, { days_unreported: '0' }),
    'lines.csv',
    /not those of cells/,
  ],
  [remove('lines.csv', created), 'lines.csv', /devices_created: is missing/],
  [add('lines.csv', created, {}), 'lines.csv', /1 rows have the key of another row/],
  [set('lines.csv', created, { billed_before: '5', quantity: '8' }), 'lines.csv', /billed_before is 5/],
  [
    add('lines.csv', created, { org_id: `${'5d'.padEnd(23, '0')}9` }),
    'lines.csv',
    /0009 devices_created: its days/,
  ],
  [set('lines.csv', created, { total: '1e1' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: '0013' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: ' 13' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: '+13' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: '13.0' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: '99999999999999999999' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { total: '-1', quantity: '-1' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { days_final: 'three' }), 'lines.csv', /is not written as a line/],
  [set('lines.csv', created, { org_id: 'ACME' }), 'lines.csv', /is not written as a line/],
  [
    async (copy) => await copy.forge('lines.csv', (text) => text.replace(/,\d+\r\n$/, '\r\n')),
    'lines.csv',
    /is not written as a line/,
  ],
  [
    async (copy) =>
      await copy.forge('lines.csv', (text) =>
        text.replace('quantity,billed_before', 'billed_before,quantity'),
      ),
    'lines.csv',
    /names other columns/,
  ],
  [async (copy) => await copy.forge('waivers.csv', () => ''), 'waivers.csv', /names other columns/],
  [set('days.csv', acmeDay, { devices_created: '5' }), 'lines.csv', /not the sum of days.csv/],
  [
    all(
      set('days.csv', acmeDay, { payload_all_count: '13' }),
      set('lines.csv', { org_id: acme, metric: 'payload_all_count' }, { quantity: '37', total: '37' }),
    ),
    'totals.csv',
    /payload_all_count is not the sum/,
  ],
  [
    set('days.csv', { org_id: acme, usage_date: day11 }, { devices_created: '6' }),
    'revisions.csv',
    /its last change of devices_created is to 5/,
  ],
  [remove('days.csv', acmeDay), 'days.csv', /2026-03-10: is missing/],
  [add('days.csv', acmeDay, { usage_date: `${MONTH}-20` }), 'days.csv', /2026-03-20: has no cell/],
  [add('days.csv', acmeDay, {}), 'days.csv', /1 rows have the key of another row/],
  [
    all(
      add('days.csv', acmeDay, { usage_date: '2026-04-01' }),
      add('cells.csv', acmeCell, { usage_date: '2026-04-01' }),
    ),
    'cells.csv',
    /2026-04-01 device_counts: day outside the month/,
  ],
  [
    set('days.csv', { org_id: beta, usage_date: day12 }, { standing: 'final' }),
    'days.csv',
    /is final, which is not that of its worst cell/,
  ],
  [set('days.csv', acmeDay, { is_reported: 'true' }), 'days.csv', /is_reported is not as in cells.csv/],
  [
    set(
      'days.csv',
      { org_id: beta, usage_date: day12 },
      { devices_created: '0', devices_deleted: '0', devices_total: '0' },
    ),
    'days.csv',
    /a number is there and its cell not stored/,
  ],
  [
    set('days.csv', acmeDay, { devices_deleted: '' }),
    'days.csv',
    /a number is there and its cell not stored/,
  ],
  [set('days.csv', acmeDay, { devices_created: '-4' }), 'days.csv', /is not written as a day/],
];
