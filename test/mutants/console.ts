/** Defects in what pages say, and in what they say of what they do not know. */
import { plant } from './mutant.ts';

const STATES = 'test/console/states.test.ts';
const USAGE = 'test/console/usage.test.ts';

export const consoleMutants = [
  plant(
    { file: 'src/console/organizations.ts', test: STATES },
    {
      'A list never says 0 rows while it does not know': [
        'unknown: isUnknown && needsActivity ?',
        'unknown: isUnknown && needsActivity && isFile ?',
      ],
      'A file is no page': ['if (isUnknown && isFile) {', 'if (isUnknown && isFile && recall === undefined) {'],
    },
  ),
  plant(
    { file: 'src/console/page.ts', test: STATES },
    {
      'A count that failed is not still being read': ["if (failure !== '') return", "if (failure === 'x') return"],
    },
  ),
  plant(
    { file: 'src/console/table.ts', test: 'test/console/pages.test.ts', only: 'none has a name' },
    {
      'Rows have their links even if no name can be seen': [
        "(index === 0 || row[nameOf(column)] !== '')",
        "row[nameOf(column)] !== ''",
      ],
    },
  ),
  plant(
    { file: 'src/console/filters.ts', test: 'test/console/instances.test.ts', only: 'same name' },
    { 'An instance is chosen by its name': ['[id, nameInstance(instanceIds, health, id)]', '[id, id]'] },
  ),
  plant(
    { file: 'src/console/page.ts', test: 'test/console/pages.test.ts', only: 'invisible characters' },
    { 'No name changes how a page is displayed': [".replaceAll(INVISIBLE, '\\ufffd')", ''] },
  ),
  plant(
    { file: 'src/console/home.ts', test: STATES },
    {
      'The status has the day at which it was read': ['dayAt(snapshot?.atMs ?? nowMs)', 'dayAt(nowMs)'],
    },
  ),
  plant(
    { file: 'src/queries/attention.ts', test: 'test/ledger/attention.test.ts', only: 'the console marks' },
    {
      'What was there at first is not new': [
        'coalesce(a.named_on, a.first_seen_on) >= a.first_seen_on',
        'a.first_seen_on is not null',
      ],
      'What was there the day before is not new': ['(array_agg(a.first_seen_on = a.last_seen_on and ', '(array_agg('],
    },
  ),
  plant(
    { file: 'src/queries/attention.ts', test: 'test/console/instances.test.ts', only: 'each count of Home' },
    { 'A link of Home opens what it counts': ['/attention?kind=${kind}', '/attention?any=${kind}'] },
  ),
  plant(
    { file: 'src/queries/attention.ts', test: 'test/console/instances.test.ts' },
    {
      'Instances with the same name can be distinguished': [
        'i.name is null or exists (',
        'i.name is null or false and exists (',
      ],
    },
  ),
  plant(
    { file: 'src/console/page.ts', test: 'test/console/pages.test.ts', only: 'is not found' },
    { 'A month that has not begun has no page': ['month === null || ', 'month === null && '] },
  ),
  plant(
    { file: 'src/console/months.ts', test: 'test/console/months.test.ts' },
    {
      'Whatever keeps back an organization, it is listed as not ready': [
        "i.state <> 'needs_adjustment')\n        as is_not_ready",
        "i.state = 'blocked')\n        as is_not_ready",
      ],
      'Only what an adjustment bills is to be adjusted': ["i.state = 'needs_adjustment')`", 'true)`'],
    },
  ),
  plant(
    { file: 'src/console/usage-query.ts', test: USAGE, only: 'of this and the next month' },
    {
      'A forecast fills days that are not stored': ['r.unstored_quantity + g.quantity', 'g.quantity'],
      'A forecast ends with a deletion': [' and o.deleted_on is null\n', '\n'],
    },
  ),
  plant(
    { file: 'src/queries/usage-totals.ts', test: USAGE, only: 'is not read yet' },
    {
      'A day that is not read yet is not 0': [
        '${sumStored(sql`u.quantity`)} as quantity,',
        'sum(u.quantity)::bigint as quantity,',
      ],
      'A day to compare with that is not stored is not 0': [
        '${sumStored(sql`u.previous_quantity`)} as "comparedQuantity"',
        'sum(u.previous_quantity)::bigint as "comparedQuantity"',
      ],
    },
  ),
  plant(
    { file: 'src/queries/usage-totals.ts', test: USAGE, only: 'marks an incomplete day' },
    {
      'A sum is compared over what is stored on both days': [
        'array[sum(u.quantity) filter (where p.is_pair), sum(u.previous_quantity) filter (where p.is_pair)]',
        'array[sum(u.quantity), sum(u.previous_quantity)]',
      ],
    },
  ),
  plant(
    { file: 'src/console/cached-reads.ts', test: 'test/server/cached-reads.test.ts', only: 'set back' },
    { 'A result expires when the clock is set back': [' || now() < validFromMs', ''] },
  ),
].flat();
