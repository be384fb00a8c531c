/** Defects in the rules: what a response does to a cell, when days are read, and which numbers are equal. */
import { plant } from './mutant.ts';

export const usageMutants = [
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts' },
    {
      'An omitted day never replaces a stored number by zero': [
        `if (verdict.kind === 'omitted') return hasNonzero(numbers) ? 'the day' : null;`,
        `if (verdict.kind === 'omitted') return null;`,
      ],
      'A column that one of several responses omits never replaces its stored number by zero': [
        `return columns.size === 0 ? null : [...columns].join(', ');`,
        'return null;',
      ],
      'Hours are in doubt if only midnight buckets came': [
        `if (verdict.kind === 'reported' && verdict.doubt) return`,
        `if (verdict.kind === 'omitted') return`,
      ],
      'A stored number that a response contradicts is in doubt': [
        `...toReasonColumns(problem), standing: 'in_doubt' }`,
        '...toReasonColumns(problem) }',
      ],
      'Reading equal numbers again writes no revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + 1',
      ],
      'A restated number raises the revision': [
        'revision: cell.revision + (isEqual ? 0 : 1)',
        'revision: cell.revision + (cell.isStored ? 0 : 1)',
      ],
      'Past the horizon a stored number keeps its standing': [
        '(cell.isStored || !isComplete)) return',
        '!isComplete) return',
      ],
      'Past the horizon a response that omits a column stores nothing': [
        `const isComplete = verdict.kind === 'reported' && verdict.omitted.length === 0;`,
        `const isComplete = verdict.kind === 'reported';`,
      ],
      'A failed read is retried': ['planNextRead(input, newCell, retryMs)', 'planNextRead(input, newCell)'],
      'Failed reads in a row are counted, so that each delays the next read longer': [
        '? cell.failedReads : cell.failedReads + 1;',
        '? cell.failedReads : 1;',
      ],
      'After a failed read a stored number stays stored or final': [
        `if (!isStored) return 'missing';`,
        `if (standing !== 'in_doubt') return 'missing';`,
      ],
      'A good read resets the number of failed reads': [
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, failedReads: 0, sha256 };',
        'return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, sha256 };',
      ],
      'A cell is read again at its next checkpoint': ['const times = [checkpointMs, ', 'const times = ['],
      'A waived cell stays waived while Losant omits it': [
        `if (cell.standing === 'waived') return keepWaived(input);`,
        '',
      ],
      'After the last checkpoint a cell that is not settled is read daily': [
        'const dailyMs = checkpointMs === null && !isSettled(cell.standing) ? sentAtMs + DAY_MS : null;',
        'const dailyMs = isSettled(cell.standing) ? sentAtMs + DAY_MS : null;',
      ],
      'Omitted totals and hours wait for sources that are still to be read': [
        'if (!pending || pending.numbers !== null || pending.nextReadAtMs === null) return null;',
        'return null;',
      ],
      'Totals and hours wait only while sources are still to be read': [
        'pending.numbers !== null || pending.nextReadAtMs === null',
        'pending.numbers !== null',
      ],
      'Two responses of the same endpoint do not confirm a zero': [
        '(isReported || getEndpoint(stream) !== getEndpoint(response.stream))',
        'true',
      ],
      'A zero is confirmed at once if two endpoints agree': [
        'if (isConfirmed) return { omissions: OMISSIONS_NEEDED, lastOmittedAtMs: response.sentAtMs };',
        '',
      ],
      'An omitted count of all payloads is contradicted by billable ones': [
        'if (parts.some(isIncluded))',
        'if (parts.length < 0)',
      ],
      'Omitted zeros do not count as reported': [
        'const isReported = cell.isStored && cell.isReported;',
        'const isReported = true;',
      ],
      'Only omissions an hour apart count toward the three that make a zero final': [
        'sentAtMs >= floorToWakeUp(lastOmittedAtMs + HOUR_MS);',
        'sentAtMs >= lastOmittedAtMs;',
      ],
      'Omissions of a stored number count only in a row': [
        `cell.standing === 'waived' || cell.reason === 'omitted';`,
        'true;',
      ],
      'A reported number resets the count of omissions': [
        'return addOmission(input, cell.isStored && !cell.isReported ? cell.omissions : 0);',
        'return addOmission(input, OMISSIONS_NEEDED);',
      ],
      'A zero that is not confirmed at the final threshold is read again after an hour': [
        'const recheckMs = isLate && !isConfirmed ? response.sentAtMs + HOUR_MS : null;',
        'const recheckMs = null;',
      ],
      'A change of a number that was final counts as a final restatement': [
        'wasFinal: cell.wasFinal || isFinal,',
        'wasFinal: isFinal && cell.wasFinal,',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/omissions.test.ts' },
    {
      'Omissions of a waived number are counted, too': [
        `cell.standing === 'waived' || cell.reason === 'omitted';`,
        `cell.reason === 'omitted';`,
      ],
      'Omissions replace a stored number only next to a counterpart that was reported': [
        'if (isThird && !isDoubted && isReportedElsewhere(input, next)) {',
        'if (isThird && !isDoubted) {',
      ],
      'Only the third omission replaces a stored number': [
        'if (isThird && !isDoubted && isReportedElsewhere(input, next)) {',
        'if (!isDoubted && isReportedElsewhere(input, next)) {',
      ],
      'Hours in doubt as days replace no stored hours, although their totals are equal': [
        'if (isThird && !isDoubted && isReportedElsewhere(input, next)) {',
        'if (isThird && isReportedElsewhere(input, next)) {',
      ],
      'An omission of a stored number is followed by another read an hour later, until the third': [
        'const recheckMs = isThird ? null : response.sentAtMs + HOUR_MS;',
        'const recheckMs = null;',
      ],
      'After the third omission a stored number in doubt is no longer read every hour': [
        'const recheckMs = isThird ? null : response.sentAtMs + HOUR_MS;',
        'const recheckMs = response.sentAtMs + HOUR_MS;',
      ],
      'Reads within the hour do not delay the count of omissions': [
        'return { omissions: earlierOmissions, lastOmittedAtMs };',
        'return { omissions: earlierOmissions, lastOmittedAtMs: sentAtMs };',
      ],
      'A zero that was only omitted does not replace a number of another stream': [
        'const isSince = isReported && (lastReadAtMs',
        'const isSince = (lastReadAtMs',
      ],
      'A zero that was reported before the stored number does not replace it': [
        'const isSince = isReported && (lastReadAtMs ?? 0) >= (cell.lastReadAtMs ?? 0);',
        'const isSince = isReported;',
      ],
      'The newest report of a counterpart decides whether a stored number becomes zero': [
        'atMs === newestMs && !hasNonzero(numbers)',
        'atMs <= newestMs && !hasNonzero(numbers)',
      ],
      'A response that still reports other numbers replaces no stored number by zero': [
        'return !hasNonzero(next) && reports.some(',
        'return reports.some(',
      ],
      'Hours that were omitted are zero only if all totals equal the hours that were reported': [
        'columns.every(([column, total])',
        'columns.some(([column, total])',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/orders.test.ts' },
    {
      'Omitted zeros are never stored if a counterpart is above zero': [
        'if (nonzero) return describeContradiction(`${nonzero.stream} is not zero`);',
        '',
      ],
      'A restated number replaces the stored one': [
        'numbers: isEqual ? numbers : next,',
        'numbers: cell.isStored ? numbers : next,',
      ],
      'An omitted zero is not final after one response, however late that is': [
        'const isFinal = isConfirmed && (',
        'const isFinal = (',
      ],
    },
  ),
  plant(
    {
      file: 'src/usage/apply.ts',
      test: 'test/ledger/expected.test.ts',
      only: 'with all of its cells due after a deletion',
    },
    {
      'The cells of an organization that has returned are read again': [
        'cell.reason === ORG_DELETED && cell.nextReadAtMs === null',
        'cell.reason === ORG_DELETED',
      ],
    },
  ),
  plant(
    { file: 'src/usage/apply.ts', test: 'test/usage/apply.test.ts', only: 'keeps a time that was set after' },
    {
      'A next read that was set after the request was sent stays': [
        '(oldCell.nextReadAtMs ?? 0) > sentAtMs ? oldCell.nextReadAtMs : null',
        '(oldCell.nextReadAtMs ?? 0) < 0 ? oldCell.nextReadAtMs : null',
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/apply.test.ts' },
    {
      'An omitted zero is final only after three omissions': [
        'export const OMISSIONS_NEEDED = 3;',
        'export const OMISSIONS_NEEDED = 2;',
      ],
      'A read exactly at a checkpoint counts for that checkpoint': [
        'endMs + each * HOUR_MS > afterMs',
        'endMs + each * HOUR_MS >= afterMs',
      ],
      'A cell that waits for its counterpart is read again after an hour on the first day only': [
        'return sentAtMs < dayEndMs(day) + DAY_MS ? HOUR_MS : DAY_MS;',
        'return HOUR_MS;',
      ],
      'A number is final only by a read at the final threshold or later': [
        'return sentAtMs >= dayEndMs(day) + finalAfterHours * HOUR_MS;',
        'return sentAtMs + finalAfterHours >= 0;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/waive.ts', test: 'test/ledger/waive.test.ts', only: 'does not waive waiting cells' },
    {
      'A person cannot waive a cell that is only waiting': [
        `('missing', 'in_doubt', 'unavailable')`,
        `('missing', 'waiting', 'in_doubt', 'unavailable')`,
      ],
      'A person cannot waive a stored number that will be read again': [
        "c.standing = 'stored' and (c.next_read_at is null or",
        "c.standing = 'stored' and (true or",
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
      'A source that disappears is a restatement': ['new Set([...a.keys(), ...b.keys()])', 'new Set(b.keys())'],
      'A source called __proto__ is compared like any other': [
        'Object.entries(value) : []',
        `Object.entries(value).filter(([key]) => key !== '__proto__') : []`,
      ],
    },
  ),
  plant(
    { file: 'src/usage/policy.ts', test: 'test/usage/policy.test.ts' },
    {
      'A day that has not ended is never loaded': ['return addDays(dayAt(nowMs), -1);', 'return dayAt(nowMs);'],
      'The oldest day of the horizon is still read': [
        'addDays(dayAt(nowMs), -horizonDays)',
        'addDays(dayAt(nowMs), 1 - horizonDays)',
      ],
      'A cell that is not stored is late six hours after its day': [
        'const LATE_AFTER_HOURS = 6;',
        'const LATE_AFTER_HOURS = 7;',
      ],
      'A first transient failure is retried at the next wake-up': [
        'if (failedReads === 1 && isTransient) return floorToWakeUp(failedAtMs);',
        '',
      ],
      'A second failure in a row is retried after hours, even if it is transient': [
        'if (failedReads === 1 && isTransient)',
        'if (isTransient)',
      ],
      'A failing cell is retried at least once a day': ['Math.min(2 ** failedReads, 24)', '2 ** failedReads'],
      'A retry is rounded down, so that it does not just miss a wake-up': [
        'return atMs - (atMs % STEP_MS);',
        'return atMs;',
      ],
    },
  ),
].flat();
