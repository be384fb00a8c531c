/** Defects in planning requests and reading bodies. */
import { plant } from './mutant.ts';

export const streamMutants = [
  plant(
    { file: 'src/usage/plan.ts', test: 'test/usage/plan.test.ts' },
    {
      'A request covers no more days than Losant allows': [
        'const oldest = addDays(to, 1 - windowDays);',
        'const oldest = addDays(to, -windowDays);',
      ],
      'Slices cover every due day': [
        'rest = rest.slice(inside.length);',
        'rest = rest.slice(inside.length + 1);',
      ],
      'The newest days are read first, of all organizations': [
        'compareText(b.window.to, a.window.to) ||',
        'compareText(a.window.to, b.window.to) ||',
      ],
      'Within an organization and range, sources come before the streams that wait for them': [
        'streamNames.indexOf(a.stream) - streamNames.indexOf(b.stream)',
        'streamNames.indexOf(b.stream) - streamNames.indexOf(a.stream)',
      ],
    },
  ),
  plant(
    { file: 'src/usage/day.ts', test: 'test/usage/day.test.ts' },
    {
      'A date that does not exist is rejected and not moved to another day': [
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
        'return isWhole && !MAY_BE_INEXACT.test(text) ? value : parseMarked(text);',
        'return isWhole ? value : parseMarked(text);',
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
      'A body with a bucket that does not begin at UTC midnight is rejected as a whole': [
        'if (date % lengthMs !== 0) {',
        'if (date % 1 !== 0) {',
      ],
      'A body that has a day twice is rejected as a whole': [
        'if (at.has(date)) throw',
        'if (date < 0) throw',
      ],
      'Days that were not requested are dropped and counted': [
        'if (date < firstMs || date >= endMs) {',
        'if (date < firstMs) {',
      ],
      'A body whose range begins after the requested one is rejected': [
        'const late = start !== undefined && start > dayStartMs(window.from);',
        'const late = false;',
      ],
      'A body whose range ends before the requested one is rejected': [
        'const early = end !== undefined && end < dayEndMs(window.to) - 1;',
        'const early = false;',
      ],
      'A body with buckets of other days only and no range is rejected, and no day becomes zero': [
        'if (at.size === 0 && outsideBuckets > 0 && !statesWindow) {',
        'if (outsideBuckets < 0) {',
      ],
      'Only the day with an invalid number is quarantined; the others of its slice load': [
        'at.set(date, read.success ? Object.values(read.data) : describeProblems(read.error));',
        `if (!read.success) throw new UnplaceableBodyError(describeProblems(read.error));
    at.set(date, Object.values(read.data));`,
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
      'A response with midnights only, over two days or more, is rejected': [
        'if (window.from === window.to || !hasOnlyMidnights(reading)) return reading;',
        'return reading;',
      ],
      'A single day may have payloads at midnight only': [
        'if (window.from === window.to || !hasOnlyMidnights(reading)) return reading;',
        'if (!hasOnlyMidnights(reading)) return reading;',
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
      'Counts and bytes of all payloads include non-billable ones': [
        `{}, { includeNonBillable: 'true' },`,
        '{}, {},',
      ],
    },
  ),
  plant(
    { file: 'src/usage/streams/device-counts.ts', test: 'test/usage/apply.test.ts' },
    {
      'A level that Losant omits is missing and never zero': [`kind: 'level',`, `kind: 'flow',`],
    },
  ),
].flat();
