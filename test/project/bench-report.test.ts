import { expect, it } from 'vitest';
import { median, renderTable } from '../../bench/report.ts';

it('writes the figures of a bench with their units', () => {
  const rows = [
    { contender: 'floor', wallMs: 840, peakRssBytes: 132_120_576, wallToFloorRatio: 1, requests: 6010 },
    { contender: 'N·L/C', wallMs: 3_760, wallToFloorRatio: null },
  ];
  expect(renderTable({ title: 'daily', rows })).toBe(
    [
      '',
      'daily',
      'contender    wall  peak rss  wall ÷ floor  requests',
      'floor      840 ms   126 MiB          1.00     6,010',
      'N·L/C      3.76 s         -             -         -',
    ].join('\n'),
  );
});

it('takes the middle one of the figures', () => {
  expect(median([30, 10, 20])).toBe(20);
  expect(median([40, 10])).toBe(10);
});
