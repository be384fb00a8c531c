/** Changes that somebody made to a proof pack, each with the problem that it causes. */
import { ADJUSTMENT, add, all, forge, MONTH, ORG, remove, set, setStatement, type Tampering } from './copies.ts';

const { acme, beta, gamma } = ORG;
const OF_ADJUSTMENT = `${ADJUSTMENT}/lines.csv`;
const STRANGER = `${'5d'.padEnd(23, '0')}9`;
const CHANGED = '{"devices_total": 19, "devices_created": 6}';
const LATER = '2027-01-01T00:00:00.000000Z';
const RUN = '00000000-0000-4000-8000-000000000001';
const OF_ADJUSTED_CELLS = `${ADJUSTMENT}/cells.csv`;
const COMPARISON = {
  stream: 'payload_sources',
  compared_with: 'payload_totals',
  outcome: 'equal',
  reason: null,
  days: 3,
};
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
const byPerson = betaDay;
const byProgram = { org_id: beta, usage_date: `${MONTH}-09` };
const gammaDay = { org_id: gamma, usage_date: day12 };
const gammaCell = { org_id: gamma, usage_date: `${MONTH}-11`, stream: 'device_counts' };
const doubtfulCell = { ...gammaDay, standing: 'in_doubt' };
const acmeCell = { ...acmeDay, stream: 'device_counts' };
const cell11 = { ...acmeDay11, stream: 'device_counts' };
const revision2 = { ...cell11, revision: '2' };
const revision3 = { ...cell11, revision: '3' };

export const TAMPERINGS: readonly Tampering[] = [
  [set('lines.csv', created, { quantity: '12' }), /quantity is not total minus billed_before/],
  [set('lines.csv', created, { quantity: '12', total: '12' }), /total is 12, which is not the sum over days.csv/],
  [
    all(
      set('lines.csv', created, { quantity: '20', total: '20' }),
      set('totals.csv', { metric: 'devices_created' }, { quantity: '36' }),
    ),
    /total is 20, which is not the sum over days.csv/,
    'lines.csv',
  ],
  [
    set('totals.csv', { metric: 'devices_created' }, { quantity: '1' }),
    /devices_created does not equal the sum over lines.csv/,
  ],
  [set('totals.csv', { metric: 'devices_created' }, { orgs: '4' }), /does not equal the sum/],
  [remove('totals.csv', { metric: 'devices_total' }), /devices_total does not equal the sum/],
  [add('totals.csv', { metric: 'devices_total' }, { metric: 'licences' }), /licences does not equal the sum/],
  [set('lines.csv', total, { quantity: '18', total: '18' }), /does not match the last, greatest and average number/],
  [set('lines.csv', total, { maximum: '99' }), /does not match the last, greatest and average number/],
  [set('lines.csv', total, { average: '18.33' }), /does not match the last, greatest and average number/],
  [set('lines.csv', created, { maximum: '6' }), /maximum or average does not fit its kind/],
  [set('lines.csv', created, { unit: 'dozens' }), /is not a metric with this unit and kind/],
  [set('lines.csv', created, { kind: 'level' }), /is not a metric with this unit and kind/],
  [add('lines.csv', created, { metric: 'licences' }), /is not a metric with this unit and kind/],
  [set('lines.csv', created, { days_final: '2', days_waived: '1' }), /days do not match cells.csv/],
  [set('lines.csv', created, { days_expected: '4' }), /days do not add up/],
  [set('lines.csv', notebooks, { days_unreported: '0' }), /days do not match cells.csv/],
  [remove('lines.csv', created), /devices_created: has cells in cells.csv but no line/],
  [add('lines.csv', created, {}), /1 rows repeat the key of another row/],
  [set('lines.csv', created, { billed_before: '5', quantity: '8' }), /billed_before is 5/],
  [add('lines.csv', created, { org_id: STRANGER }), /0009 devices_created: its days/],
  ...['1e1', '0013', ' 13', '+13', '13.0', '99999999999999999999'].map(
    (digits): Tampering => [set('lines.csv', created, { total: digits }), /is not a valid line/],
  ),
  [set('lines.csv', created, { total: '-1', quantity: '-1' }), /is not a valid line/],
  [set('lines.csv', created, { days_final: 'three' }), /is not a valid line/],
  [set('lines.csv', created, { org_id: 'ACME' }), /is not a valid line/],
  [forge('lines.csv', (text) => text.replace(/,\d+\r\n$/, '\r\n')), /is not a valid line/],
  [forge('lines.csv', (text) => text.replace(/(quantity),(billed_before)/, '$2,$1')), /has unexpected columns/],
  [forge('waivers.csv', () => ''), /has unexpected columns/],
  [set('days.csv', acmeDay, { devices_created: '5' }), /not the sum over days.csv/, 'lines.csv'],
  [
    all(
      set('days.csv', acmeDay, { payload_all_count: '13' }),
      set('lines.csv', { org_id: acme, metric: 'payload_all_count' }, { quantity: '37', total: '37' }),
    ),
    /payload_all_count does not equal the sum/,
    'totals.csv',
  ],
  [set('days.csv', acmeDay11, { devices_created: '6' }), /last change of devices_created is to 5/, 'revisions.csv'],
  [remove('days.csv', acmeDay), /2026-03-10: is in cells.csv but not here/],
  [add('days.csv', acmeDay, { usage_date: `${MONTH}-20` }), /2026-03-20: has no cells in cells.csv/],
  [add('days.csv', acmeDay, {}), /1 rows repeat the key of another row/],
  [
    all(
      add('days.csv', acmeDay, { usage_date: '2026-04-01' }),
      add('cells.csv', acmeCell, { usage_date: '2026-04-01' }),
    ),
    /2026-04-01 device_counts: day outside the month/,
    'cells.csv',
  ],
  [set('days.csv', betaDay, { standing: 'final' }), /is final, but its worst cell is waived/],
  [set('days.csv', acmeDay, { is_reported: 'true' }), /is_reported does not match cells.csv/],
  [
    set('days.csv', betaDay, { devices_created: '0', devices_deleted: '0', devices_total: '0' }),
    /has a number whose cell is not stored, or a stored cell without its number/,
  ],
  [
    set('days.csv', acmeDay, { devices_deleted: '' }),
    /has a number whose cell is not stored, or a stored cell without its number/,
  ],
  [set('days.csv', acmeDay, { devices_created: '-4' }), /is not a valid day/],
  [set('cells.csv', gammaDay, { standing: 'final' }), /days do not match cells.csv/, 'lines.csv'],
  [set('cells.csv', betaDay, { standing: 'final' }), /is final, but its numbers are not stored/],
  [set('cells.csv', acmeCell, { last_read_at: '' }), /is final, but was not read 72 hours after its day/],
  [set('cells.csv', acmeCell, { last_read_at: `${day10}T23:59:59.999999Z` }), /was read before its day ended/],
  [set('cells.csv', acmeCell, { last_read_at: LATER }), /was read after the statement/],
  [remove('cells.csv', acmeCell), /devices_created: its days do not match/, 'lines.csv'],
  [add('cells.csv', acmeCell, { org_id: STRANGER }), /organization without a line/],
  [set('cells.csv', acmeCell, { standing: 'perfect' }), /is not a valid cell/],
  [set('cells.csv', acmeCell, { response_sha256: 'x' }), /is not a valid cell/],
  [set('cells.csv', cell11, { revision: '4' }), /2 revisions listed for a cell at revision 4/, 'revisions.csv'],
  [set('cells.csv', acmeCell, { revision: '0' }), /its numbers are stored/],
  [remove('revisions.csv', revision2), /1 revisions listed for a cell at revision 3/],
  [remove('revisions.csv', { org_id: acme }), /0 revisions listed for a cell at revision/],
  [add('revisions.csv', cell11, { revision: '4' }), /revision 4 of a cell that has no such revision/],
  [
    set('revisions.csv', revision3, { old: '{"devices_total": 19, "devices_created": 7}' }),
    /changes \$\."?devices_created"? from 7, but revision 2 had changed it to 6/,
  ],
  [
    set('revisions.csv', revision3, { new: '{"devices_total": 18, "devices_created": 6}' }),
    /revision 3 changes nothing|its last change of devices_created is to 6/,
  ],
  [set('revisions.csv', revision2, { old: CHANGED }), /revision 2 changes nothing/],
  [set('revisions.csv', revision3, { changed_at: LATER }), /after the statement/],
  [set('revisions.csv', revision2, { changed_at: `${day11}T12:00:00.000000Z` }), /was changed before its day ended/],
  [set('revisions.csv', revision2, { old: '{' }), /is not a valid revision/],
  [set('revisions.csv', revision3, { old: '5', new: '6' }), /is not a valid revision/],
  [set('revisions.csv', revision3, { old: '{}', new: '{}' }), /is not a valid revision/],
  [remove('waivers.csv', byPerson), /2026-03-12 .*: is waived in cells.csv, but no waiver is in force/],
  [remove('waivers.csv', byProgram), /2026-03-09 .*: is waived in cells.csv, but no waiver is in force/],
  [set('waivers.csv', byPerson, { lifted_at: LATER }), /but no waiver is in force/],
  [add('waivers.csv', byPerson, { id: '99', org_id: acme }), /waiver in force, but its cell is not waived/],
  [set('waivers.csv', byPerson, { waived_at: LATER }), /was waived or lifted after the statement/],
  [set('waivers.csv', byPerson, { lifted_at: LATER }), /was waived or lifted after the statement/],
  [set('waivers.csv', byPerson, { lifted_at: 'zzzz' }), /is not a valid waiver/],
  [add('waivers.csv', byPerson, { id: '99' }), /has 2 waivers in force/],
  [
    set('waivers.csv', byPerson, { kind: 'program', reason: 'before_creation', waived_by_run: RUN }),
    /is not the waiver that cells.csv names/,
  ],
  [set('waivers.csv', byPerson, { reason: '' }), /is not a valid waiver/],
  // A person has no run; the program has one, and always the same reason.
  [set('waivers.csv', byPerson, { kind: 'nobody' }), /is not a valid waiver/],
  [set('waivers.csv', byPerson, { kind: 'program' }), /is not a valid waiver/],
  [set('waivers.csv', byPerson, { waived_by_run: RUN }), /is not a valid waiver/],
  [set('waivers.csv', byProgram, { kind: 'person' }), /is not a valid waiver/],
  [set('waivers.csv', byProgram, { waived_by_run: '' }), /is not a valid waiver/],
  [set('waivers.csv', byProgram, { reason: 'agreed' }), /is not a valid waiver/],
  [set('sources.csv', { source: 'hook' }, { total: '16' }), /total does not equal payload_source_count/],
  [remove('sources.csv', { source: 'hook' }), /total does not equal payload_source_count/],
  [add('sources.csv', { source: 'hook' }, ofBeta), /0002: total does not equal/],
  // Rows that contradict each other, or the manifest.
  [
    set('cells.csv', acmeCell, { last_read_at: `${day11}T12:00:00.000000Z` }),
    /is final, but was not read 72 hours after its day/,
  ],
  [set('cells.csv', acmeCell, { response_sha256: '' }), /is final, but has no hash of a response/],
  [set('cells.csv', doubtfulCell, { response_sha256: '' }), /is stored, but has no time or hash of a response/],
  [set('cells.csv', doubtfulCell, { last_read_at: '' }), /is stored, but has no time or hash of a response/],
  [set('cells.csv', acmeCell, { response_sha256: 'g'.repeat(64) }), /is not a valid cell/],
  [set('cells.csv', acmeCell, { reason: 'failed' }), /is final, but has the reason failed/],
  [set('lines.csv', created, { customer_id: 'C-Else' }), /different names, referral IDs, plans or customers/],
  [set('lines.csv', created, { org_name: 'Acne' }), /different names, referral IDs, plans or customers/],
  [set('lines.csv', created, { plan_id: 'free' }), /different names, referral IDs, plans or customers/],
  [set('lines.csv', created, { is_customer_changed: 'true' }), /is_customer_changed differs/],
  [
    set('lines.csv', adjusted, { customer_id: 'C-Else' }, ADJUSTMENT),
    /is billed to a customer, plan or name that the statement before it does not have/,
  ],
  [
    set('cells.csv', gammaCell, { response_sha256: 'ab'.repeat(32) }, ADJUSTMENT),
    /another response in an earlier statement, although it was not read again/,
  ],
  [set('cells.csv', cell11, { revision: '4' }), /has more revisions in an earlier statement/, OF_ADJUSTED_CELLS],
  [
    set('days.csv', { ...gammaDay, usage_date: day10 }, { devices_created: '7' }),
    /2026-03-10 device_counts: has other numbers in an earlier statement/,
    `${ADJUSTMENT}/days.csv`,
  ],
  [
    set('revisions.csv', revision3, { new: '{"devices_totals": 18, "devices_created": 5}' }),
    /changes devices_totals, which is not a number of this stream/,
  ],
  [set('revisions.csv', revision3, { run_id: '' }), /is not a valid revision/],
  [
    set('revisions.csv', revision3, { changed_at: `${day12}T00:00:00.000001Z` }),
    /revision 3 is older than the revision before it/,
  ],
  [set('blockers.csv', ofGamma, { streams: 'device_count' }), /names device_count, which is not a stream/],
  [set('blockers.csv', ofGamma, { streams: 'payload_totals' }), /in_doubt: does not match cells.csv/],
  [set('waivers.csv', byPerson, { reason: ' ' }), /is not a valid waiver/],
  [setStatement({ reason: ' ' }), /has no reason, although something blocked it/],
  [setStatement({ previousSha256: 'ab'.repeat(32) }), /is number 1, but names a statement before it/],
  [
    setStatement({ reconciliation: [{ ...COMPARISON, outcome: 'differs', reason: null }] }),
    /has a difference, but blockers.csv has no not_reconciled/,
  ],
  [
    set('blockers.csv', ofGamma, { cause: 'not_reconciled' }),
    /has no difference, but blockers.csv has a not_reconciled/,
    'manifest.json',
  ],
  [setStatement({ reconciliation: [{ ...COMPARISON, days: 32 }] }), /is not a valid comparison/],
  [setStatement({ reconciliation: [{ ...COMPARISON, reason: 'guess' }] }), /is not a valid comparison/],
  [
    all(setStatement({ reconciliation: [COMPARISON] }), set('days.csv', acmeDay, { payload_all_count: '13' })),
    /1 days of days.csv differ, but only 0 are listed/,
    'manifest.json',
  ],
  [remove('blockers.csv', {}), /has a reason, although nothing blocked it/, 'manifest.json'],
  [setStatement({ reason: null }), /has no reason, although something blocked it/],
  [setStatement({ orgs: 2 }), /orgs is 2, but lines.csv has 3/],
  [setStatement({ closedAt: '1 May' }), /does not describe a statement/],
  [setStatement({ closedAt: '2026-03-31T23:00:00.000000Z' }), /was closed before its month had ended/],
  [set('blockers.csv', ofGamma, { first_day: day11, days: '2' }), /in_doubt: does not match cells.csv/],
  [set('blockers.csv', ofGamma, { cause: 'missing' }), /does not match cells.csv/],
  [set('blockers.csv', ofGamma, { streams: 'device_counts payload_totals' }), /does not match cells.csv/],
  [set('blockers.csv', ofGamma, { cause: 'not_over' }), /is not a valid blocker/],
  [set('blockers.csv', ofGamma, { last_day: '2026-04-01' }), /lies outside the month/],
  [
    set('lines.csv', adjusted, { billed_before: '6', quantity: '6' }, ADJUSTMENT),
    /billed_before is 6, .* before it billed 8/,
  ],
  [
    set('lines.csv', adjusted, { billed_before: '', quantity: '12' }, ADJUSTMENT),
    /billed_before is none, .* it billed 8/,
  ],
  [
    all(
      set('cells.csv', gammaDay, { standing: 'in_doubt' }, ADJUSTMENT),
      set('lines.csv', adjusted, { days_final: '2', days_in_doubt: '1' }, ADJUSTMENT),
    ),
    /is adjusted although it is not settled/,
    OF_ADJUSTMENT,
  ],
  [
    set('lines.csv', adjusted, { quantity: '9', total: '9' }),
    /billed_before is 8, .* before it billed 9/,
    OF_ADJUSTMENT,
  ],
];
