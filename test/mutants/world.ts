/** Defects that the world must find. Its checker shares no code with the program, so these test the checker. */
import { plant } from './mutant.ts';

export const worldMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number that was replaced by zero because its day was omitted': [
        'if (isThird && !isDoubted && isReportedElsewhere(input, next)) {',
        'if (isThird) {',
      ],
      'The world finds a number that is final a day after its day': [
        'isFinalRead(response.day, response.sentAtMs, policy);',
        'isFinalRead(response.day, response.sentAtMs, { ...policy, finalAfterHours: 24 });',
      ],
      'The world finds a stored number that is never read again': [
        'times.length === 0 ? null',
        'times.length === 0 || cell.isStored ? null',
      ],
      'The world finds a failed read that counts as a good one': [
        `    failedReads,
  };`,
        `    failedReads: cell.isStored ? 0 : failedReads,
    lastReadAtMs: cell.isStored ? response.sentAtMs : cell.lastReadAtMs,
  };`,
      ],
      'The world finds an omitted zero that is final at once': [
        'const isConfirmed = evidence.isReported || evidence.omissions >= OMISSIONS_NEEDED;',
        'const isConfirmed = true;',
      ],
      'The world finds a waiver that was lifted by an omission': [
        `if (cell.standing === 'waived') return keepWaived(input);`,
        '',
      ],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number from a response that is not from now': [
        'if (failure !== null) throw new AttemptError(request, failure);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a stream that is never due': [
        'join losant_usage.coverage c on c.org_id = o.org_id\n',
        `join losant_usage.coverage c on c.org_id = o.org_id and c.stream <> 'notebook_minutes'\n`,
      ],
    },
  ),
  plant(
    { file: 'src/loading/run.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a run that succeeds while something is missing': ['tally.hasFailedCells', 'false'],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a backfill that marks only its first day due': [
        '  const to = earliestDay(range.to, lastEndedDay(nowMs));',
        '  const to = earliestDay(range.from, lastEndedDay(nowMs));',
      ],
    },
  ),
  plant(
    { file: 'migrations/0001_reference.sql', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a gap that is hidden for half a day': [
        `interval '6 hours')::date;`,
        `interval '18 hours')::date;`,
      ],
    },
  ),
  plant(
    { file: 'src/usage/numbers.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a record of changes that forgets a column': [
        '[...new Set([...a.keys(), ...b.keys()])]',
        '[...new Set([...a.keys(), ...b.keys()])].slice(1)',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/tracks.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a stream that returns with a track that overlaps its last one': [
        'n.last_day >= ${sync.horizon}::date - 1',
        'n.last_day > ${sync.yesterday}::date',
      ],
    },
  ),
  plant(
    { file: 'migrations/0005_totals.sql', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds sums that do not notice that a cell is settled': [
        `      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from old_cells`,
        `      select usage_date, org_id, stream, revision, is_stored from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored from old_cells`,
      ],
    },
  ),
  plant(
    { file: 'src/loading/control-totals.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a run that leaves a day without sums': ['t.our_sum is null or', 'false or'],
    },
  ),
  plant(
    { file: 'migrations/0006_months.sql', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a month that settles although its cells can no longer be read': [
        `where c.standing <> 'waived' and c.stream in`,
        `where c.standing not in ('waived', 'unavailable') and c.stream in`,
      ],
      'The world finds a month that waits for days that nobody collected': [
        '(case when bool_and(u.last_day < i.collected_from)',
        '(case when bool_and(u.last_day > i.collected_from)',
      ],
    },
  ),
].flat();
