/** Changes that somebody made to a proof pack, each with the problem that it causes. */
import { ADJUSTMENT, add, all, forge, MONTH, ORG, remove, set, setStatement, type Tampering } from './copies.ts';

const { acme, beta, gamma } = ORG;
const OF_ADJUSTMENT = `${ADJUSTMENT}/lines.csv`;
const STRANGER = `${'5d'.padEnd(23, '0')}9`;
const CHANGED = '{"devices_total": 19, "devices_created": 6}';
const LATER = '2027-01-01T00:00:00.000000Z';
const RUN = '00000000-0000-4000-8000-000000000001';
const OF_ADJUSTED_CELLS = `${ADJUSTMENT}/cells.csv`;
const STREAMS = { stream: 'payload_sources', compared_with: 'payload_totals' };
const COMPARISON = { ...STREAMS, outcome: 'equal', reason: null, days: 3 };
const NEXT_MONTH = { usage_date: '2026-04-01' };
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

const change =
  (name: string, usual: Record<string, string>) =>
  (fields: Record<string, string>, where = usual, folder = '') =>
    set(name, where, fields, folder);
const line = change('lines.csv', created);
const day = change('days.csv', acmeDay);
const cell = change('cells.csv', acmeCell);
const revision = change('revisions.csv', revision3);
const waiver = change('waivers.csv', byPerson);
const blocker = change('blockers.csv', ofGamma);

/** A number at which SQLite cannot run the checks. */
export const OVERFLOW = day({ devices_deleted: '9223372036854775807' });

export const TAMPERINGS: readonly Tampering[] = [
  [line({ quantity: '12' }), /quantity is not total minus billed_before/],
  [line({ quantity: '12', total: '12' }), /total is 12, which is not the sum over days.csv/],
  [set('totals.csv', { metric: 'devices_created' }, { quantity: '1' }), /devices_created does not equal the sum/],
  [set('totals.csv', { metric: 'devices_created' }, { orgs: '4' }), /does not equal the sum/],
  [remove('totals.csv', { metric: 'devices_total' }), /devices_total does not equal the sum/],
  [add('totals.csv', { metric: 'devices_total' }, { metric: 'licences' }), /licences does not equal the sum/],
  [line({ quantity: '18', total: '18' }, total), /does not match the last, greatest and average number/],
  [line({ maximum: '99' }, total), /does not match the last, greatest and average number/],
  [line({ average: '18.33' }, total), /does not match the last, greatest and average number/],
  [line({ maximum: '6' }), /maximum or average does not fit its kind/],
  [line({ unit: 'dozens' }), /is not a metric with this unit and kind/],
  [line({ kind: 'level' }), /is not a metric with this unit and kind/],
  [add('lines.csv', created, { metric: 'licences' }), /is not a metric with this unit and kind/],
  [line({ days_final: '2', days_waived: '1' }), /days do not match cells.csv/],
  [line({ days_expected: '4' }), /days do not add up/],
  [line({ days_unreported: '0' }, notebooks), /days do not match cells.csv/],
  [remove('lines.csv', created), /devices_created: has cells in cells.csv but no line/],
  [add('lines.csv', created, {}), /1 rows repeat the key of another row/],
  [line({ billed_before: '5', quantity: '8' }), /was billed before, but the manifest names no earlier statement/],
  [add('lines.csv', created, { org_id: STRANGER }), /0009 devices_created: its days/],
  [line({ total: '0013' }), /is not a valid line/],
  [line({ total: '13.0' }), /is not a valid line/],
  [line({ total: '99999999999999999999' }), /is not a valid line/],
  [line({ total: '-1', quantity: '-1' }), /is not a valid line/],
  [line({ days_final: 'three' }), /is not a valid line/],
  [line({ org_id: 'ACME' }), /is not a valid line/],
  [forge('lines.csv', (text) => text.replace(/,\d+\r\n$/, '\r\n')), /is not a valid line/],
  [forge('lines.csv', (text) => text.replace(/(quantity),(billed_before)/, '$2,$1')), /has unexpected columns/],
  [forge('waivers.csv', () => ''), /has unexpected columns/],
  [day({ devices_created: '5' }), /not the sum over days.csv/, 'lines.csv'],
  [day({ devices_created: '6' }, acmeDay11), /last change of devices_created is to 5/, 'revisions.csv'],
  [remove('days.csv', acmeDay), /2026-03-10: is in cells.csv but not here/],
  [add('days.csv', acmeDay, { usage_date: `${MONTH}-20` }), /2026-03-20: has no cells in cells.csv/],
  [add('days.csv', acmeDay, {}), /1 rows repeat the key of another row/],
  [
    all(add('days.csv', acmeDay, NEXT_MONTH), add('cells.csv', acmeCell, NEXT_MONTH)),
    /2026-04-01 device_counts: day outside the month/,
    'cells.csv',
  ],
  [day({ standing: 'final' }, betaDay), /is final, but its worst cell is waived/],
  [day({ is_reported: 'true' }), /is_reported does not match cells.csv/],
  [day({ devices_created: '0' }, betaDay), /has a number whose cell is not stored/],
  [day({ devices_deleted: '' }), /or a stored cell without its number/],
  [day({ devices_created: '-4' }), /is not a valid day/],
  [forge('days.csv', (text) => `${text}\r\n`), /^line \d+: is not a valid day/],
  [forge('cells.csv', (text) => `${text}\r\n`), /^line \d+: day outside the month/],
  [cell({ standing: 'final' }, gammaDay), /days do not match cells.csv/, 'lines.csv'],
  [cell({ standing: 'final' }, betaDay), /is final at revision 0, but its numbers are not stored/],
  [cell({ revision: '1' }, betaDay), /is waived at revision 1, but its numbers are not stored/],
  [cell({ last_read_at: `${day10}T23:59:59.999999Z` }), /was read before its day ended/],
  [cell({ last_read_at: LATER }), /was read after the statement/],
  [remove('cells.csv', acmeCell), /devices_created: its days do not match/, 'lines.csv'],
  [add('cells.csv', acmeCell, { org_id: STRANGER }), /organization without a line/],
  [cell({ standing: 'perfect' }), /is not a valid cell/],
  [cell({ response_sha256: 'x' }), /is not a valid cell/],
  [cell({ revision: '4' }, cell11), /2 revisions listed for a cell at revision 4/, 'revisions.csv'],
  [cell({ revision: '0' }), /its numbers are stored/],
  [remove('revisions.csv', revision2), /1 revisions listed for a cell at revision 3/],
  [add('revisions.csv', cell11, { revision: '4' }), /revision 4 of a cell that has no such revision/],
  [revision({ old: '{"devices_total": 19, "devices_created": 7}' }), /from 7, but revision 2 had changed it to 6/],
  [revision({ new: '{"devices_total": 18, "devices_created": 6}' }), /its last change of devices_created is to 6/],
  [revision({ old: CHANGED }, revision2), /revision 2 changes nothing/],
  [revision({ changed_at: LATER }), /after the statement/],
  [revision({ changed_at: `${day11}T12:00:00.000000Z` }, revision2), /was changed before its day ended/],
  [revision({ old: '{' }, revision2), /is not a valid revision/],
  [revision({ old: '5', new: '6' }), /is not a valid revision/],
  [revision({ old: '{}', new: '{}' }), /is not a valid revision/],
  [remove('waivers.csv', byPerson), /2026-03-12 .*: is waived in cells.csv, but no waiver is in force/],
  [waiver({ lifted_at: LATER }), /but no waiver is in force/],
  [add('waivers.csv', byPerson, { id: '99', org_id: acme }), /waiver in force, but its cell is not waived/],
  [waiver({ waived_at: LATER }), /was waived or lifted after the statement/],
  [waiver({ lifted_at: LATER }), /was waived or lifted after the statement/],
  [waiver({ lifted_at: 'zzzz' }), /is not a valid waiver/],
  [add('waivers.csv', byPerson, { id: '99' }), /has 2 waivers in force/],
  [waiver({ kind: 'program', reason: 'before_creation', waived_by_run: RUN }), /not the waiver that cells.csv names/],
  // A person has no run; the program has one, and always the same reason.
  [waiver({ kind: 'nobody' }), /is not a valid waiver/],
  [waiver({ kind: 'program' }), /is not a valid waiver/],
  [waiver({ waived_by_run: RUN }), /is not a valid waiver/],
  [waiver({ kind: 'person' }, byProgram), /is not a valid waiver/],
  [waiver({ waived_by_run: '' }, byProgram), /is not a valid waiver/],
  [waiver({ reason: 'agreed' }, byProgram), /is not a valid waiver/],
  [set('sources.csv', { source: 'hook' }, { total: '16' }), /total does not equal payload_source_count/],
  [add('sources.csv', { source: 'hook' }, ofBeta), /0002: total does not equal/],
  // Rows that contradict each other, or the manifest.
  [cell({ last_read_at: `${day11}T12:00:00.000000Z` }), /is final, but was not read 72 hours after its day/],
  [cell({ response_sha256: '' }), /is final, but has no hash of a response/],
  [cell({ response_sha256: '' }, doubtfulCell), /is stored, but has no time or hash of a response/],
  [cell({ last_read_at: '' }, doubtfulCell), /is stored, but has no time or hash of a response/],
  [cell({ response_sha256: 'g'.repeat(64) }), /is not a valid cell/],
  [cell({ reason: 'failed' }), /is final, but has the reason failed/],
  [line({ customer_id: 'C-Else' }), /different names, referral IDs, plans or customers/],
  [line({ org_name: 'Acne' }), /different names, referral IDs, plans or customers/],
  [line({ plan_id: 'free' }), /different names, referral IDs, plans or customers/],
  [line({ is_customer_changed: 'true' }), /is_customer_changed differs/],
  [line({ customer_id: 'C-Else' }, adjusted, ADJUSTMENT), /a customer, plan or name that the statement before it/],
  [cell({ response_sha256: 'ab'.repeat(32) }, gammaCell, ADJUSTMENT), /has another response in an earlier statement/],
  [cell({ revision: '4' }, cell11), /has more revisions in an earlier statement/, OF_ADJUSTED_CELLS],
  [
    day({ devices_created: '7' }, { ...gammaDay, usage_date: day10 }),
    /2026-03-10 device_counts: has other numbers in an earlier statement/,
    `${ADJUSTMENT}/days.csv`,
  ],
  [revision({ new: '{"devices_totals": 18, "devices_created": 5}' }), /changes devices_totals, which is not a number/],
  [revision({ run_id: '' }), /is not a valid revision/],
  [revision({ changed_at: `${day12}T00:00:00.000001Z` }), /revision 3 is older than the revision before it/],
  [blocker({ streams: 'device_count' }), /names device_count, which is not a stream/],
  [blocker({ streams: 'payload_totals' }), /in_doubt: does not match cells.csv/],
  [waiver({ reason: ' ' }), /is not a valid waiver/],
  [setStatement({ reason: ' ' }), /has no reason, although something blocked it/],
  [setStatement({ previousSha256: 'ab'.repeat(32) }), /is number 1, but names a statement before it/],
  [setStatement({ reconciliation: [{ ...COMPARISON, outcome: 'differs' }] }), /blockers.csv has no not_reconciled/],
  [blocker({ cause: 'not_reconciled' }), /has no difference, but blockers.csv has a not_reconciled/, 'manifest.json'],
  [setStatement({ reconciliation: [{ ...COMPARISON, days: 32 }] }), /is not a valid comparison/],
  [setStatement({ reconciliation: [{ ...COMPARISON, reason: 'guess' }] }), /is not a valid comparison/],
  [
    all(setStatement({ reconciliation: [COMPARISON] }), day({ payload_all_count: '13' })),
    /1 days of days.csv differ, but only 0 are listed/,
    'manifest.json',
  ],
  [remove('blockers.csv', {}), /has a reason, although nothing blocked it/, 'manifest.json'],
  [setStatement({ reason: null }), /has no reason, although something blocked it/],
  [setStatement({ orgs: 2 }), /orgs is 2, but lines.csv has 3/],
  [setStatement({ closedAt: '1 May' }), /does not describe a statement/],
  [setStatement({ closedAt: '2026-03-31T23:00:00.000000Z' }), /was closed before its month had ended/],
  [blocker({ first_day: day11, days: '2' }), /in_doubt: does not match cells.csv/],
  [blocker({ cause: 'missing' }), /does not match cells.csv/],
  [blocker({ streams: 'device_counts payload_totals' }), /does not match cells.csv/],
  [blocker({ cause: 'not_over' }), /is not a valid blocker/],
  [blocker({ last_day: '2026-04-01' }), /lies outside the month/],
  [line({ billed_before: '6', quantity: '6' }, adjusted, ADJUSTMENT), /billed_before is 6, .* before it billed 8/],
  [line({ billed_before: '', quantity: '12' }, adjusted, ADJUSTMENT), /billed_before is none, .* it billed 8/],
  [
    all(
      cell({ standing: 'in_doubt' }, gammaDay, ADJUSTMENT),
      line({ days_final: '2', days_in_doubt: '1' }, adjusted, ADJUSTMENT),
    ),
    /is adjusted although it is not settled/,
    OF_ADJUSTMENT,
  ],
  [line({ quantity: '9', total: '9' }, adjusted), /billed_before is 8, .* before it billed 9/, OF_ADJUSTMENT],
];
