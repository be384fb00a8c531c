/** Cells, changes, waivers, blockers and statements that somebody changed, and what is found of each. */
import { ADJUSTMENT, add, all, MONTH, ORG, remove, set, type Tampering } from './copies.ts';

const { acme, beta, gamma } = ORG;
const [day10, day11, day12] = [`${MONTH}-10`, `${MONTH}-11`, `${MONTH}-12`];
const acmeDay = { org_id: acme, usage_date: day10 };
const acmeCell = { ...acmeDay, stream: 'device_counts' };
const cell11 = { org_id: acme, usage_date: day11, stream: 'device_counts' };

export const TAMPERED_RECORD: readonly Tampering[] = [
  [
    set('cells.csv', { org_id: gamma, usage_date: day12 }, { standing: 'final' }),
    'lines.csv',
    /not those of cells.csv/,
  ],
  [
    set('cells.csv', { org_id: beta, usage_date: day12 }, { standing: 'final' }),
    'cells.csv',
    /is final, and its numbers are not stored/,
  ],
  [set('cells.csv', acmeCell, { verified_at: '' }), 'cells.csv', /is final, and its numbers are stored/],
  [
    set('cells.csv', acmeCell, { verified_at: `${day10}T23:59:59.999999Z` }),
    'cells.csv',
    /was read before its day was over/,
  ],
  [
    set('cells.csv', acmeCell, { verified_at: '2027-03-14T00:00:00.000000Z' }),
    'cells.csv',
    /was read after the statement/,
  ],
  [remove('cells.csv', acmeCell), 'lines.csv', /devices_created: its days are not those/],
  [
    add('cells.csv', acmeCell, { org_id: `${'5d'.padEnd(23, '0')}9` }),
    'cells.csv',
    /organization without a line/,
  ],
  [set('cells.csv', acmeCell, { standing: 'perfect' }), 'cells.csv', /is not written as a cell/],
  [set('cells.csv', acmeCell, { response_sha256: 'x' }), 'cells.csv', /is not written as a cell/],
  [set('cells.csv', cell11, { revision: '4' }), 'revisions.csv', /2 changes of a cell of version 4/],
  [set('cells.csv', acmeCell, { revision: '0' }), 'cells.csv', /its numbers are stored/],
  [
    remove('revisions.csv', { ...cell11, revision: '2' }),
    'revisions.csv',
    /1 changes of a cell of version 3/,
  ],
  [remove('revisions.csv', { org_id: acme }), 'revisions.csv', /0 changes of a cell of version/],
  [
    add('revisions.csv', cell11, { revision: '4' }),
    'revisions.csv',
    /version 4 of a cell that has no such version/,
  ],
  [
    set(
      'revisions.csv',
      { ...cell11, revision: '3' },
      { old: '{"devices_total": 19, "devices_created": 7}' },
    ),
    'revisions.csv',
    /changes \$\."?devices_created"? from 7, which is not what version 2 made of it/,
  ],
  [
    set(
      'revisions.csv',
      { ...cell11, revision: '3' },
      { new: '{"devices_total": 18, "devices_created": 6}' },
    ),
    'revisions.csv',
    /version 3 changes nothing|its last change of devices_created is to 6/,
  ],
  [
    set(
      'revisions.csv',
      { ...cell11, revision: '2' },
      { old: '{"devices_total": 19, "devices_created": 6}' },
    ),
    'revisions.csv',
    /version 2 changes nothing/,
  ],
  [
    set('revisions.csv', { ...cell11, revision: '3' }, { changed_at: '2027-01-01T00:00:00.000000Z' }),
    'revisions.csv',
    /after the statement/,
  ],
  [
    set('revisions.csv', { ...cell11, revision: '2' }, { changed_at: `${day11}T12:00:00.000000Z` }),
    'revisions.csv',
    /was changed before its day was over/,
  ],
  [
    set('revisions.csv', { ...cell11, revision: '2' }, { old: '{' }),
    'revisions.csv',
    /is not written as a revision/,
  ],
  [remove('waivers.csv', { org_id: beta }), 'waivers.csv', /is accepted in cells.csv, by no waiver in force/],
  [
    set('waivers.csv', { org_id: beta }, { lifted_at: '2027-01-01T00:00:00.000000Z' }),
    'waivers.csv',
    /by no waiver in force/,
  ],
  [
    add('waivers.csv', { org_id: beta }, { id: '99', org_id: acme }),
    'waivers.csv',
    /a waiver in force of a cell that is not accepted/,
  ],
  [
    set('waivers.csv', { org_id: beta }, { waived_at: '2027-01-01T00:00:00.000000Z' }),
    'waivers.csv',
    /was waived after the statement/,
  ],
  [set('waivers.csv', { org_id: beta }, { reason: '' }), 'waivers.csv', /is not written as a waiver/],
  [
    set('sources.csv', { source: 'hook' }, { total: '16' }),
    'sources.csv',
    /total is not that of payload_source_count/,
  ],
  [remove('sources.csv', { source: 'hook' }), 'sources.csv', /total is not that of payload_source_count/],
  [add('sources.csv', { source: 'hook' }, { org_id: beta }), 'sources.csv', /0002: total is not that/],
  [remove('blockers.csv', {}), 'statement.csv', /it has a reason, and nothing blocked it/],
  [
    set('blockers.csv', { org_id: gamma }, { first_day: day11, days: '2' }),
    'blockers.csv',
    /in_doubt: is not what cells.csv says/,
  ],
  [
    set('blockers.csv', { org_id: gamma }, { cause: 'missing' }),
    'blockers.csv',
    /is not what cells.csv says/,
  ],
  [
    set('blockers.csv', { org_id: gamma }, { streams: 'device_counts payload_totals' }),
    'blockers.csv',
    /is not what cells.csv says/,
  ],
  [
    set('blockers.csv', { org_id: gamma }, { cause: 'not_over' }),
    'blockers.csv',
    /is not written as a blocker/,
  ],
  [
    set('blockers.csv', { org_id: gamma }, { last_day: '2026-04-01' }),
    'blockers.csv',
    /is not of this month/,
  ],
  [set('statement.csv', {}, { reason: '' }), 'statement.csv', /something blocked it, and it has no reason/],
  [set('statement.csv', {}, { orgs: '2' }), 'statement.csv', /orgs is 2, lines.csv has 3/],
  [
    set('statement.csv', {}, { closed_at: '2026-03-31T23:00:00.000000Z' }),
    'statement.csv',
    /its month was not over/,
  ],
  [set('statement.csv', {}, { month: '2026-04' }), 'cells.csv', /day outside the month/],
  [set('statement.csv', {}, { closed_by: 'cfo' }), 'statement.csv', /closed_by is not that of the manifest/],
  [add('statement.csv', {}, {}), 'statement.csv', /has 2 rows instead of one/],
  [
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
    all(set('lines.csv', { org_id: gamma, metric: 'devices_created' }, { quantity: '9', total: '9' })),
    `${ADJUSTMENT}/lines.csv`,
    /billed_before is 8, the statements before it billed 9/,
  ],
];
