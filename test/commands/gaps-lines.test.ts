import { expect, test } from 'vitest';
import { renderGaps } from '../../src/cli/gaps.ts';
import type { Gap } from '../../src/queries/gaps.ts';
import { renderLine } from '../../src/terminal/text.ts';

const orgOf = (number: number) => number.toString(16).padStart(24, '0');

function gap(org: number, day: string, more: Partial<Gap> = {}): Gap {
  const message = `instanceOrg.deviceCounts (org ${orgOf(org)}, days ${day}): HTTP 502`;
  return {
    instanceId: '575ec8687ae143cd83dc4a97',
    orgId: orgOf(org),
    orgName: `Org ${org}`,
    day,
    stream: 'device_counts',
    standing: 'missing',
    reason: 'server_error',
    message,
    nextReadAt: '2026-11-24T23:57:00.000Z',
    ...more,
  };
}

const shown = ({ missing, known }: { missing: Gap[]; known: Gap[] | null }) =>
  renderGaps([...missing, ...(known ?? [])], {
    withKnown: known !== null,
    nowMs: Date.UTC(2026, 10, 24, 21, 57),
  }).map((line) => renderLine(line, { color: false }));

test('gaps of one cause are together, neighbouring days in one line, with the next try', () => {
  const missing = [
    gap(1, '2026-11-23'),
    gap(1, '2026-11-22', { nextReadAt: '2026-11-24T23:57:02.123Z' }),
    gap(1, '2026-11-20'),
    gap(2, '2026-11-23'),
    gap(3, '2026-11-23', {
      reason: 'never_read',
      message: 'not read yet',
      nextReadAt: null,
      stream: 'payload_totals',
    }),
  ];
  expect(shown({ missing, known: null }).slice(0, -5)).toEqual([
    '5 numbers of 3 organizations are missing or in doubt.',
    '',
    'missing: server_error, instanceOrg.deviceCounts: HTTP 502 (4 numbers)',
    `  2026-11-22..2026-11-23  device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
    `  2026-11-20              device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
    `  2026-11-23              device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(2)}  Org 2`,
    '',
    'missing: never_read, not read yet (1 number)',
    `  2026-11-23  payload_totals  not read again by itself  ${orgOf(3)}  Org 3`,
  ]);
});

test('two hundred lines are enough for people, and no cause is cut off without a count', () => {
  const missing = Array.from({ length: 1_300 }, (_, org) => gap(org, '2026-11-23'));
  const lines = shown({ missing, known: null });
  expect(lines).toHaveLength(210);
  expect(lines.slice(-7, -5)).toEqual(['', 'and 1,100 lines more (--json has all)']);
});

test('what is accepted or unavailable is listed apart, and is no gap', () => {
  const known = [
    gap(1, '2026-11-01', {
      standing: 'accepted',
      reason: 'waived',
      message: 'agreed on 2026-11-20',
      nextReadAt: null,
    }),
  ];
  expect(shown({ missing: [], known })).toEqual([
    'No gaps.',
    '',
    '1 number of 1 organization is accepted or unavailable.',
    '',
    'accepted: waived, agreed on 2026-11-20 (1 number)',
    `  2026-11-01  device_counts  ${orgOf(1)}  Org 1`,
  ]);
});

test('what is unavailable ends with the commands that accept it, one for each organization', () => {
  const gone = (day: string) =>
    gap(1, day, { standing: 'unavailable', reason: 'past_horizon', nextReadAt: null });
  const known = [
    gone('2026-08-03'),
    gone('2026-08-02'),
    gone('2026-07-01'),
    gap(2, '2026-08-03', { standing: 'accepted' }),
  ];
  expect(shown({ missing: [], known }).slice(-2)).toEqual([
    'What is unavailable no longer comes. To accept it, with a reason in place of TEXT:',
    `  losant-usage waive --org ${orgOf(1)} --day 2026-07-01..2026-08-03 --reason TEXT`,
  ]);
});

test('gaps end with commands that can be pasted', () => {
  const cell = `--org ${orgOf(1)} --stream device_counts`;
  expect(shown({ missing: [gap(1, '2026-11-23')], known: null }).slice(-3)).toEqual([
    `  losant-usage backfill --from 2026-11-23 --to 2026-11-23 ${cell} --force`,
    `  losant-usage explain --day 2026-11-23 ${cell}`,
    `  losant-usage waive --day 2026-11-23 ${cell} --reason TEXT`,
  ]);
});
