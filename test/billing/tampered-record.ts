/** Cells, changes, waivers, blockers and statements that somebody changed, and what is found of each. */
import { ADJUSTMENT, add, all, MONTH, ORG, remove, set, type Tampering } from './copies.ts';

const { acme, beta, gamma } = ORG;
const [day10, day11, day12] = [`${MONTH}-10`, `${MONTH}-11`, `${MONTH}-12`];
const acmeDay = { org_id: acme, usage_date: day10 };
const acmeCell = { ...acmeDay, stream: 'device_counts' };
const cell11 = { org_id: acme, usage_date: day11, stream: 'device_counts' };

export const TAMPERED_RECORD: readonly Tampering[] = [
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
