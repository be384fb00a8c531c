/** Defects in the rules: what a response does to a cell, when days are read, and which numbers are equal. */
import { plant } from './mutant.ts';

export const usageMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts' },
    {
      'An omitted day never replaces a stored number with zero': [
        `if (verdict.kind === 'omitted') return hasAnyNumber(numbers) ? 'the day' : null;`,
        `if (verdict.kind === 'omitted') return null;`,
      ],
      'A column that one of several responses omits never replaces its stored number with zero': [
        `return columns.size === 0 ? null : [...columns].join(', ');`,
        'return null;',
      ],
      'Hours with payloads only at midnight are in doubt': [
        `if (verdict.kind === 'reported' && verdict.doubt) return`,
        `if (verdict.kind === 'omitted') return`,
      ],
      'A stored number that a response contradicts is in doubt': [
        `...reasonOf(problem), standing: 'in_doubt' }`,
        '...reasonOf(problem) }',
      ],
      'Reading the same numbers again writes no revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + 1',
      ],
      'A restated number raises the revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + (cell.isStored ? 0 : 1)',
      ],
      'Past the horizon, a stored number does not change': [
        '(cell.isStored || !isComplete)) return stay',
        '!isComplete) return stay',
      ],
      'Past the horizon, a response that omits a column fills nothing': [
        `const isComplete = verdict.kind === 'reported' && verdict.omitted.length === 0;`,
        `const isComplete = verdict.kind === 'reported';`,
      ],
      'A failed read is retried': ['planNextRead(situation, read, retryMs)', 'planNextRead(situation, read)'],
      'Consecutive failures are counted, so each wait is longer than the one before': [
        '? cell.attempts : cell.attempts + 1;',
        '? cell.attempts : 1;',
      ],
      'A failed read does not change a stored number: it stays stored or final': [
        `if (!isStored) return 'missing';`,
        `if (standing !== 'in_doubt') return 'missing';`,
      ],
      'A good response resets the count of failures': [
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, attempts: 0, sha256 };',
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, sha256 };',
      ],
      'A cell is read again at its next checkpoint': ['const times = [checkpointMs, ', 'const times = ['],
      'A waived cell stays waived while Losant omits it': [
        `return cell.standing === 'waived' ? keepAccepted(situation) : applySilence(situation, verdict);`,
        'return applySilence(situation, verdict);',
      ],
      'A cell that is neither final nor waived is read once a day until the horizon': [
        'const dailyMs = checkpointMs === null && !isClosed ? sentAtMs + DAY_MS : null;',
        'const dailyMs = isClosed ? sentAtMs + DAY_MS : null;',
      ],
      'Omitted totals and hours wait for sources that are still to be read': [
        'if (!awaited || awaited.numbers !== null || awaited.cell.nextReadAtMs === null) return null;',
        'return null;',
      ],
      'Totals and hours wait only while sources are still to be read': [
        'awaited.numbers !== null || awaited.cell.nextReadAtMs === null',
        'awaited.numbers !== null',
      ],
      'Two responses of one endpoint do not confirm a zero': [
        '(other.isReported || endpointOf(stream) !== endpointOf(answer.stream))',
        'true',
      ],
      'A zero is confirmed at once if two endpoints agree': ['if (isConfirmed) return SILENCES_NEEDED;', ''],
      'An omitted count of all payloads is contradicted by billable payloads': [
        'if (parts.some(isIncluded)) return contradicted',
        'if (parts.length < 0) return contradicted',
      ],
      'Zeros that no response reported are not marked as reported': [
        'const isReported = cell.isStored && cell.isReported;',
        'const isReported = true;',
      ],
      'Only omissions an hour apart count toward the three that make a zero final': [
        'answer.sentAtMs - cell.lastReadAtMs >= HOUR_MS;',
        'answer.sentAtMs - cell.lastReadAtMs >= 0;',
      ],
      'A reported number resets the count of omissions': [
        'const before = cell.isStored && !cell.isReported ? cell.omissions : 0;',
        'const before = SILENCES_NEEDED;',
      ],
      'A zero that is not confirmed at the final threshold is read again within an hour': [
        'const soonMs = isLate && !isSure ? answer.sentAtMs + HOUR_MS : null;',
        'const soonMs = null;',
      ],
      'It is recorded that a number was final, so a later change is a final restatement': [
        'wasFinal: cell.wasFinal || isFinal,',
        'wasFinal: isFinal && cell.wasFinal,',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/orders.test.ts' },
    {
      'Omitted zeros are never stored if a counterpart is above zero': [
        'if (counted) return contradicted(`${counted.stream} is not zero`);',
        '',
      ],
      'A restated number replaces the stored one': [
        'numbers: isEqual ? null : next,',
        'numbers: cell.isStored ? null : next,',
      ],
      'An omitted zero is not final after its first response, however late': [
        'const isFinal = isSure && (',
        'const isFinal = (',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/ledger/expected.test.ts', only: 'with all its cells due' },
    {
      'The cells of an organization that returns are read again': [
        'cell.reason === ORG_DELETED && cell.nextReadAtMs === null',
        'cell.reason === ORG_DELETED',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts', only: 'at a time that was set after' },
    {
      'A read time that was set after the request was sent stays': [
        '(before.nextReadAtMs ?? 0) > sentAtMs ? before.nextReadAtMs : null',
        '(before.nextReadAtMs ?? 0) < 0 ? before.nextReadAtMs : null',
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/apply.test.ts' },
    {
      'An omitted zero is final only after three omissions': [
        'export const SILENCES_NEEDED = 3;',
        'export const SILENCES_NEEDED = 2;',
      ],
      'Only a read at the final threshold or later makes a cell final': [
        'return sentAtMs >= dayEndMs(day) + finalAfterHours * HOUR_MS;',
        'return sentAtMs + finalAfterHours >= 0;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts', only: 'only waiting' },
    {
      'A waiting cell cannot be waived': [
        `('missing', 'in_doubt', 'unavailable')`,
        `('missing', 'waiting', 'in_doubt', 'unavailable')`,
      ],
      'A cell that will become final cannot be waived': [
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
      'A source that Losant no longer reports is a restatement of the day': [
        'new Set([...a.keys(), ...b.keys()])',
        'new Set(b.keys())',
      ],
      'A source called __proto__ is compared like any other': [
        'Object.entries(value) : []',
        `Object.entries(value).filter(([key]) => key !== '__proto__') : []`,
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/policy.test.ts' },
    {
      'A day that has not ended is never loaded': [
        'return addDays(dayAt(nowMs), -1);',
        'return dayAt(nowMs);',
      ],
      'The oldest day of the horizon is still read': [
        'addDays(dayAt(nowMs), -horizonDays)',
        'addDays(dayAt(nowMs), 1 - horizonDays)',
      ],
      'A read exactly at a checkpoint counts for it, and the next one is due later': [
        'endMs + each * HOUR_MS > afterMs',
        'endMs + each * HOUR_MS >= afterMs',
      ],
      'A cell that is not stored is late six hours after its day': [
        'const LATE_AFTER_HOURS = 6;',
        'const LATE_AFTER_HOURS = 7;',
      ],
      'A first transient failure is retried at the next wake-up': [
        'if (attempts === 1 && mostlyPasses) return wakeUpMs(failedAtMs);',
        '',
      ],
      'A second consecutive failure waits for hours, whatever its kind': [
        'if (attempts === 1 && mostlyPasses)',
        'if (mostlyPasses)',
      ],
      'A failing cell is retried at least once a day': ['Math.min(2 ** attempts, 24)', '2 ** attempts'],
      'A retry time is rounded down, so that it does not miss a wake-up by seconds': [
        'return atMs - (atMs % STEP_MS);',
        'return atMs;',
      ],
    },
  ),
].flat();
