/** Defects in the rules: what becomes of a cell with an answer, when days are read, and what numbers are the same. */
import { plant } from './mutant.ts';

export const usageMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts' },
    {
      'A day that Losant leaves out never replaces a stored number by zero': [
        `if (verdict.kind === 'omitted') return hasAnyNumber(numbers) ? 'the day' : null;`,
        `if (verdict.kind === 'omitted') return null;`,
      ],
      'A column that one of several answers leaves out never replaces its stored number by zero': [
        `return columns.size === 0 ? null : [...columns].join(', ');`,
        'return null;',
      ],
      'Hours of which only midnights came are in doubt': [
        `if (verdict.kind === 'reported' && verdict.doubt) return`,
        `if (verdict.kind === 'omitted') return`,
      ],
      'A stored number that an answer speaks against is shown as in doubt': [
        `...reasonOf(problem), standing: 'in_doubt' }`,
        '...reasonOf(problem) }',
      ],
      'Numbers that are read again and equal write no revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + 1',
      ],
      'A restated number raises the revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + (cell.isStored ? 0 : 1)',
      ],
      'Past the horizon a stored number stays as it stands': [
        '(cell.isStored || !isComplete)) return stay',
        '!isComplete) return stay',
      ],
      'Past the horizon an answer that lacks a column fills nothing': [
        `const isComplete = verdict.kind === 'reported' && verdict.omitted.length === 0;`,
        `const isComplete = verdict.kind === 'reported';`,
      ],
      'A read that failed is tried again': [
        'planNextRead(situation, read, retryMs)',
        'planNextRead(situation, read)',
      ],
      'Failures in a row are counted, so that each waits longer than the one before': [
        '? cell.attempts : cell.attempts + 1;',
        '? cell.attempts : 1;',
      ],
      'A failed read takes nothing from a stored number: it stays stored or final': [
        `if (!isStored) return 'missing';`,
        `if (standing !== 'in_doubt') return 'missing';`,
      ],
      'A good answer ends the failures before it': [
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, attempts: 0, sha256 };',
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, sha256 };',
      ],
      'A number that was read is read again at its next checkpoint': [
        'const times = [checkpointMs, ',
        'const times = [',
      ],
      'A number that a person accepted stays accepted while Losant leaves it out': [
        `return cell.standing === 'waived' ? keepAccepted(situation) : applySilence(situation, verdict);`,
        'return applySilence(situation, verdict);',
      ],
      'A cell that is neither final nor accepted is read once a day until the horizon': [
        'const dailyMs = checkpointMs === null && !isClosed ? sentAtMs + DAY_MS : null;',
        'const dailyMs = isClosed ? sentAtMs + DAY_MS : null;',
      ],
      'Totals and hours that were left out wait for sources that are still to be read': [
        'if (!awaited || awaited.numbers !== null || awaited.cell.nextReadAtMs === null) return null;',
        'return null;',
      ],
      'Totals and hours wait only while sources are still to be read': [
        'awaited.numbers !== null || awaited.cell.nextReadAtMs === null',
        'awaited.numbers !== null',
      ],
      'The same endpoint asked twice is one witness of a zero': [
        '(other.isReported || endpointOf(stream) !== endpointOf(answer.stream))',
        'true',
      ],
      'A zero is confirmed at once where two endpoints agree': [
        'if (isConfirmed) return SILENCES_NEEDED;',
        '',
      ],
      'All payloads that are left out beside billable ones are contradicted': [
        'if (parts.some(isIncluded)) return contradicted',
        'if (parts.length < 0) return contradicted',
      ],
      'Zeros that no answer named are not called reported': [
        'const isReported = cell.isStored && cell.isReported;',
        'const isReported = true;',
      ],
      'Only answers an hour apart count towards the three that make a zero final which nobody named': [
        'answer.sentAtMs - cell.lastReadAtMs >= HOUR_MS;',
        'answer.sentAtMs - cell.lastReadAtMs >= 0;',
      ],
      'A number that is named begins the count of omissions anew': [
        'const before = cell.isStored && !cell.isReported ? cell.omissions : 0;',
        'const before = SILENCES_NEEDED;',
      ],
      'A zero that is not sure at the final age is read again within the hour': [
        'const soonMs = isLate && !isSure ? answer.sentAtMs + HOUR_MS : null;',
        'const soonMs = null;',
      ],
      'That a number was final is kept, so that a later change counts as a restatement': [
        'wasFinal: cell.wasFinal || isFinal,',
        'wasFinal: isFinal && cell.wasFinal,',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/orders.test.ts' },
    {
      'Zeros that nobody named are never stored beside a counterpart above zero': [
        'if (counted) return contradicted(`${counted.stream} is not zero`);',
        '',
      ],
      'A restated number replaces the stored one': [
        'numbers: isEqual ? null : next,',
        'numbers: cell.isStored ? null : next,',
      ],
      'A zero that nobody named is not final with its first answer, however late that is': [
        'const isFinal = isSure && (',
        'const isFinal = (',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/ledger/expected.test.ts', only: 'with all its cells due' },
    {
      'The cells of an organization that has come back are read again': [
        'cell.reason === ORG_DELETED && cell.nextReadAtMs === null',
        'cell.reason === ORG_DELETED',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts', only: 'at a time that was set after' },
    {
      'A time that was set after the request was sent is kept': [
        '(before.nextReadAtMs ?? 0) > sentAtMs ? before.nextReadAtMs : null',
        '(before.nextReadAtMs ?? 0) < 0 ? before.nextReadAtMs : null',
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/apply.test.ts' },
    {
      'A zero that nobody named is final only after three answers have left it out': [
        'export const SILENCES_NEEDED = 3;',
        'export const SILENCES_NEEDED = 2;',
      ],
      'A number is final only by a read at the final age or later': [
        'return sentAtMs >= dayEndMs(day) + finalAfterHours * HOUR_MS;',
        'return sentAtMs + finalAfterHours >= 0;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts', only: 'only waiting' },
    {
      'A person cannot accept what is only waiting': [
        `('missing', 'in_doubt', 'unavailable')`,
        `('missing', 'waiting', 'in_doubt', 'unavailable')`,
      ],
      'A person cannot accept a number that will still be read': [
        "standing = 'stored' and next_read_at is null",
        "standing = 'stored'",
      ],
    },
  ),
  plant(
    { file: 'src/usage/numbers.ts', test: 'test/usage/numbers.test.ts' },
    {
      'A value that changes under the same key is a restatement': [
        'return a === b ? null : { old: a, new: b };',
        'return (a === null) === (b === null) ? null : { old: a, new: b };',
      ],
      'A source that Losant no longer names is a restatement of the day': [
        'new Set([...a.keys(), ...b.keys()])',
        'new Set(b.keys())',
      ],
      'A source called __proto__ is compared as any other': [
        'Object.entries(value) : []',
        `Object.entries(value).filter(([key]) => key !== '__proto__') : []`,
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/policy.test.ts' },
    {
      'A day that is not over is never loaded': ['return addDays(dayAt(nowMs), -1);', 'return dayAt(nowMs);'],
      'The oldest day of the horizon is still read': [
        'addDays(dayAt(nowMs), -horizonDays)',
        'addDays(dayAt(nowMs), 1 - horizonDays)',
      ],
      'A read exactly at a checkpoint counts for it: the next one comes later': [
        'endMs + each * HOUR_MS > afterMs',
        'endMs + each * HOUR_MS >= afterMs',
      ],
      'A number that is not stored is late six hours after its day': [
        'const LATE_AFTER_HOURS = 6;',
        'const LATE_AFTER_HOURS = 7;',
      ],
      'A first failure that mostly passes by itself is tried again at the next wake-up': [
        'if (attempts === 1 && mostlyPasses) return wakeUpMs(failedAtMs);',
        '',
      ],
      'A second failure in a row waits for hours, whatever it is': [
        'if (attempts === 1 && mostlyPasses)',
        'if (mostlyPasses)',
      ],
      'A cell that fails is tried again at least once a day': [
        'Math.min(2 ** attempts, 24)',
        '2 ** attempts',
      ],
      'A retry is rounded down, so that it does not miss the wake-up some seconds before it': [
        'return atMs - (atMs % STEP_MS);',
        'return atMs;',
      ],
    },
  ),
].flat();
