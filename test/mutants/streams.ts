/** Defects in planning requests and reading bodies. */
import { plant } from './mutant.ts';

export const streamMutants = [
  plant(
    { file: 'src/usage/plan.ts', test: 'test/usage/plan.test.ts' },
    {
      'A request covers no more days than Losant allows': [
        'const oldest = addDays(to, 1 - maxDays);',
        'const oldest = addDays(to, -maxDays);',
      ],
      'Slices have every due day': [
        'remaining = remaining.slice(partDays.length);',
        'remaining = remaining.slice(partDays.length + 1);',
      ],
      'Totals of several days come after the sources of each of these days': [
        'getStream(stream).waitsFor === undefined ? range.to : range.from;',
        'range.to;',
      ],
      'The newest days of all organizations are read first': [
        'compareText(toOrderDay(b), toOrderDay(a)) ||',
        'compareText(toOrderDay(a), toOrderDay(b)) ||',
      ],
      'Sources of an organization come before the streams that wait for them': [
        'streamNames.indexOf(a.stream) - streamNames.indexOf(b.stream)',
        'streamNames.indexOf(b.stream) - streamNames.indexOf(a.stream)',
      ],
    },
  ),
  plant(
    { file: 'src/usage/day.ts', test: 'test/usage/day.test.ts' },
    {
      'A date that does not exist is rejected, not moved to another day': [
        'Number.isNaN(ms) || dayAt(ms) !== text ? null : text',
        'Number.isNaN(ms) ? null : text',
      ],
    },
  ),
  plant(
    { file: 'src/usage/body.ts', test: 'test/usage/streams.test.ts' },
    {
      'A negative number is quarantined': ['if (value < 0) return `is negative (${value})`;', ''],
      'A fraction is quarantined and never rounded': [
        'if (!Number.isInteger(value)) return `is not a whole number (${value})`;',
        'if (!Number.isInteger(value)) return null;',
      ],
      'A number above 2^53 − 1 is quarantined': [
        'return Number.isSafeInteger(value) ? null :',
        'return value > 0 ? null :',
      ],
      'A number that a double would round is quarantined with its text': [
        'return hasAllKeys && !MAY_BE_INEXACT.test(text) ? value : parseMarked(text);',
        'return hasAllKeys ? value : parseMarked(text);',
      ],
      'A number whose key appears twice is quarantined': [
        'map.set(key, map.has(key) ? REPEATED_KEY : value);',
        'map.set(key, value);',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/buckets.ts', test: 'test/usage/streams.test.ts' },
    {
      'A body with a bucket that does not start at UTC midnight is rejected as a whole': [
        'if (date % lengthMs !== 0) {',
        'if (date % 1 !== 0) {',
      ],
      'A body that has a day twice is rejected as a whole': ['if (at.has(date)) throw', 'if (date < 0) throw'],
      'Days that were not requested are dropped and counted': [
        'if (date < firstMs || date >= endMs) {',
        'if (date < firstMs) {',
      ],
      'A body that states a later start than requested is rejected': [
        'const startsLate = start !== undefined && start > dayStartMs(range.from);',
        'const startsLate = false;',
      ],
      'A body that states an earlier end than requested is rejected': [
        'const endsEarly = end !== undefined && end < dayEndMs(range.to) - 1;',
        'const endsEarly = false;',
      ],
      'A body with only buckets of other days, which does not state its range, is rejected and no zero': [
        'if (at.size === 0 && outsideBuckets > 0 && !statesRange) {',
        'if (outsideBuckets < 0) {',
      ],
      'A day with an invalid number is quarantined, and the other days of its slice are loaded': [
        'at.set(date, bucket.success ? Object.values(bucket.data) : describeProblems(bucket.error));',
        `if (!bucket.success) throw new UnplaceableBodyError(describeProblems(bucket.error));
    at.set(date, Object.values(bucket.data));`,
      ],
      'An omitted part of a day is distinguished from a reported zero': [
        `if (bucket === undefined) omitted.push({ column, hour });
        else if`,
        'if',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/buckets.ts', test: 'test/usage/streams.test.ts' },
    {
      'Numbers whose sum cannot be stored exactly are quarantined': [
        'if (!Number.isSafeInteger(sum)) return',
        'if (sum < 0) return',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/payload-hours.ts', test: 'test/usage/streams.test.ts' },
    {
      'A response with only midnights is doubted, even of a single day': [
        'if (!hasOnlyMidnights(content)) return content;',
        'if (range.from === range.to || !hasOnlyMidnights(content)) return content;',
      ],
      'Midnights without payloads are not doubted': [
        "verdict.kind === 'reported' && hasNonzero(verdict.numbers)",
        "verdict.kind === 'reported'",
      ],
      'Hours in which any hour but midnight has a bucket are not doubted': [
        'if (!hasOnlyMidnights(content)) return content;',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/payload-sources.ts', test: 'test/usage/streams.test.ts' },
    {
      'A source with a NUL or a lone surrogate quarantines its day and does not fail the load': [
        "if (!text.isWellFormed() || text.includes('\\0')) {",
        "if (text === '\\n') {",
      ],
      'Keys of the envelope are not payload types': [`.filter(([type]) => !type.startsWith('_'))`, ''],
      'Counts whose sum cannot be stored exactly are quarantined': [
        '(types) => Number.isSafeInteger(sumOf(types)),',
        '(types) => sumOf(types) >= 0,',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/payload-totals.ts', test: 'test/usage/streams.test.ts' },
    {
      'The counts and bytes of all payloads include non-billable ones': [
        `{}, { includeNonBillable: 'true' },`,
        '{}, {},',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/device-counts.ts', test: 'test/usage/apply.test.ts' },
    {
      'An omitted level is not stored, and never zero': [`kind: 'level',`, `kind: 'flow',`],
    },
  ),
].flat();
