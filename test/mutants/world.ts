/** Defects that the world has to find, whose checker shares no code with the program: they try the checker itself. */
import { plant } from './mutant.ts';

export const worldMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number that was replaced by zero because its day was left out': [
        `if (numbers !== null && (isLevel || hasAnyNumber(numbers))) return doubt(situation, leftOut('the day'));`,
        `if (numbers !== null && !isLevel)
    return write(situation, zerosOf(answer.stream), { isReported: true, silences: 0 });`,
      ],
      'The world finds a number that is final a day after its day': [
        '(cell.wasFinal || isFinalRead(answer.day, answer.sentAtMs, policy));',
        '(cell.wasFinal || isFinalRead(answer.day, answer.sentAtMs, { ...policy, finalAtHours: 24 }));',
      ],
      'The world finds a stored number that nobody reads again': [
        'return known.length === 0 ? null',
        'return known.length === 0 || cell.isStored ? null',
      ],
      'The world finds a read that failed and counts as one that was good': [
        `    attempts,
    reason: keepsReason`,
        `    attempts: cell.isStored ? 0 : attempts,
    verifiedAtMs: cell.isStored ? answer.sentAtMs : cell.verifiedAtMs,
    reason: keepsReason`,
      ],
      'The world finds a zero that Losant did not name and that is final at once': [
        'const isSure = known.isReported || known.silences >= SILENCES_NEEDED;',
        'const isSure = true;',
      ],
      'The world finds a waiver that ended although Losant named nothing': [
        `  if (cell.standing === 'accepted') return keepAccepted(situation);
  const isLevel`,
        '  const isLevel',
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number from an answer of another time': [
        '(takesAnyTime ? null : findOtherTime(answer, question))',
        'null',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a stream of which nothing is found due': [
        '  return rows;',
        `  return rows.filter(({ stream }) => stream !== 'notebook_minutes');`,
      ],
    },
  ),
  plant(
    { file: 'src/export/run.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a run that is green while something is missing': ['tally.hasFailedCells', 'false'],
    },
  ),
  plant(
    { file: 'src/ledger/fill.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a backfill that adds only its first day': [
        '  const to = earliestDay(scope.range.to, lastCompleteDay(nowMs));',
        '  const to = earliestDay(scope.range.from, lastCompleteDay(nowMs));',
      ],
    },
  ),
  plant(
    { file: 'migrations/0001_reference.sql', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a view of gaps that is blind for half a day': [
        `interval '6 hours')::date;`,
        `interval '18 hours')::date;`,
      ],
    },
  ),
  plant(
    { file: 'src/usage/numbers.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a record of changes that forgets a column': [
        'const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];',
        'const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].slice(1);',
      ],
    },
  ),
].flat();
