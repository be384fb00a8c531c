/** Defects that the world has to find, whose checker shares no code with the program: they try the checker itself. */
import type { Mutant } from './mutant.ts';

const test = 'test/campaigns/world/world.test.ts';

export const worldMutants: readonly Mutant[] = [
  {
    name: 'world-left-out-day-becomes-zero',
    promise: `The world finds a number that was replaced by zero because its day was left out.`,
    file: 'src/usage/apply.ts',
    find: `if (numbers !== null && (isLevel || hasAnyNumber(numbers))) return doubt(situation, leftOut('the day'));`,
    replace: `if (numbers !== null && !isLevel)
    return write(situation, zerosOf(answer.stream), { isReported: true, silences: 0 });`,
    test,
  },
  {
    name: 'world-final-a-day-after',
    promise: `The world finds a number that is final a day after its day.`,
    file: 'src/usage/apply.ts',
    find: `(cell.wasFinal || isFinalRead(answer.day, answer.sentAtMs, policy));`,
    replace: `(cell.wasFinal || isFinalRead(answer.day, answer.sentAtMs, { ...policy, finalAtHours: 24 }));`,
    test,
  },
  {
    name: 'world-stored-is-not-read-again',
    promise: `The world finds a stored number that nobody reads again.`,
    file: 'src/usage/apply.ts',
    find: `return known.length === 0 ? null`,
    replace: `return known.length === 0 || cell.isStored ? null`,
    test,
  },
  {
    name: 'world-failed-read-verifies',
    promise: `The world finds a read that failed and counts as one that was good.`,
    file: 'src/usage/apply.ts',
    find: `    attempts,
    reason: keepsReason`,
    replace: `    attempts: cell.isStored ? 0 : attempts,
    verifiedAtMs: cell.isStored ? answer.sentAtMs : cell.verifiedAtMs,
    reason: keepsReason`,
    test,
  },
  {
    name: 'world-unnamed-zero-is-sure',
    promise: `The world finds a zero that Losant did not name and that is final at once.`,
    file: 'src/usage/apply.ts',
    find: `const isSure = known.isReported || known.silences >= SILENCES_NEEDED;`,
    replace: `const isSure = true;`,
    test,
  },
  {
    name: 'world-silence-ends-waiver',
    promise: `The world finds a waiver that ended although Losant named nothing.`,
    file: 'src/usage/apply.ts',
    find: `  if (cell.standing === 'accepted') return keepAccepted(situation);
  const isLevel`,
    replace: `  const isLevel`,
    test,
  },
  {
    name: 'world-answer-of-another-time',
    promise: `The world finds a number from an answer of another time.`,
    file: 'src/losant/transport.ts',
    find: `(takesAnyTime ? null : findOtherTime(answer, question))`,
    replace: `null`,
    test,
  },
  {
    name: 'world-stream-is-not-due',
    promise: `The world finds a stream of which nothing is found due.`,
    file: 'src/ledger/due.ts',
    find: `  return rows;`,
    replace: `  return rows.filter(({ stream }) => stream !== 'notebook_minutes');`,
    test,
  },
  {
    name: 'world-green-whatever-is-missing',
    promise: `The world finds a run that is green while something is missing.`,
    file: 'src/export/run.ts',
    find: `this.#tally.hasFailedCells`,
    replace: `false`,
    test,
  },
  {
    name: 'world-backfill-of-one-day',
    promise: `The world finds a backfill that adds only its first day.`,
    file: 'src/ledger/fill.ts',
    find: `  const to = earliestDay(scope.range.to, lastCompleteDay(nowMs));`,
    replace: `  const to = earliestDay(scope.range.from, lastCompleteDay(nowMs));`,
    test,
  },
  {
    name: 'world-gaps-are-late',
    promise: `The world finds a view of gaps that is blind for half a day.`,
    file: 'migrations/0001_reference.sql',
    find: `interval '6 hours')::date;`,
    replace: `interval '18 hours')::date;`,
    test,
  },
  {
    name: 'world-change-without-a-column',
    promise: `The world finds a record of changes that forgets a column.`,
    file: 'src/usage/numbers.ts',
    find: `const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];`,
    replace: `const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].slice(1);`,
    test,
  },
];
