/** Defects that the world must find. Its checker shares no code with the program, so these test the checker. */
import { plant } from './mutant.ts';

export const worldMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number that an omission replaced with zero': [
        'if (lost !== null) return doubt(situation, omitted(lost));',
        `if (lost !== null)
    return write(situation, zerosOf(answer.stream), { isReported: true, omissions: 0 });`,
      ],
      'The world finds a number that is final a day after its day': [
        'isFinalRead(answer.day, answer.sentAtMs, policy);',
        'isFinalRead(answer.day, answer.sentAtMs, { ...policy, finalAfterHours: 24 });',
      ],
      'The world finds a stored number that is never read again': [
        'times.length === 0 ? null',
        'times.length === 0 || cell.isStored ? null',
      ],
      'The world finds a failed read that counts as a good one': [
        `    attempts,
  };`,
        `    attempts: cell.isStored ? 0 : attempts,
    lastReadAtMs: cell.isStored ? answer.sentAtMs : cell.lastReadAtMs,
  };`,
      ],
      'The world finds an omitted zero that is final at once': [
        'const isSure = known.isReported || known.omissions >= SILENCES_NEEDED;',
        'const isSure = true;',
      ],
      'The world finds a waiver that was lifted although Losant reported nothing': [
        `return cell.standing === 'waived' ? keepAccepted(situation) : applySilence(situation, verdict);`,
        'return applySilence(situation, verdict);',
      ],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a number from a response of another time': [
        'if (failure !== null) throw new AttemptError(request, failure);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/due.ts', test: 'test/campaigns/world/world.test.ts' },
    {
      'The world finds a stream that is never due': [
        '  return rows;',
        `  return rows.filter(({ stream }) => stream !== 'notebook_minutes');`,
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
        '  const to = earliestDay(range.to, lastCompleteDay(nowMs));',
        '  const to = earliestDay(range.from, lastCompleteDay(nowMs));',
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
].flat();
