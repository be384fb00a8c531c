import { describe, expect, test } from 'vitest';
import { type DailyChart, renderDailyChart } from '../../src/console/daily-chart.ts';
import { barPaths, linePath, runsOf, scaleOf, showBytes, tickDays } from '../../src/console/shapes.ts';
import { eachDay } from '../../src/usage/day.ts';

const scale = scaleOf([{ values: [0] }, { values: [100] }], 'count', 100);

test('the axis goes from 0 to a round number above the greatest sum', () => {
  const days = [{ values: [900, 1_100] }, { values: [null, null] }];
  expect(scaleOf(days, 'count', 180).ticks).toEqual([
    { y: 180, label: '0' },
    { y: 135, label: '500' },
    { y: 90, label: '1K' },
    { y: 45, label: '1.5K' },
    { y: 0, label: '2K' },
  ]);
  const nothing = scaleOf([{ values: [null] }], 'count', 180);
  expect(nothing.ticks.map(({ label }) => label)).toEqual(['0', '1', '2', '3', '4']);
});

test.for([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1_000, '1 kB'],
  [1_234_567, '1.2 MB'],
  [9_007_199_254_740_991, '9 PB'],
] as const)('%i bytes are %s', ([bytes, shown]) => {
  expect(showBytes(bytes)).toBe(shown);
});

describe('what is drawn', () => {
  test('a line breaks where a day is not stored, and a day on its own is a dot', () => {
    expect(linePath([0, 50, null, 100, null], scale.y)).toBe('M0.5,100L1.5,50M3.5,0Z');
  });

  test('bars stand on those of the series before; what is counted is a pixel high at least', () => {
    const days = [{ values: [50, 25, 0.001] }, { values: [null, null, 0] }];
    expect(barPaths(days, scale)).toEqual([
      'M0.06 0.5h0.38v0.5h-0.38z',
      'M0.06 0.25h0.38v0.25h-0.38z',
      'M0.06 0.24h0.38v0.01h-0.38z',
    ]);
  });

  test('neighbouring days are one', () => {
    expect(runsOf([false, true, true, false, true])).toEqual([
      { from: 1, count: 2 },
      { from: 4, count: 1 },
    ]);
  });

  test.for([
    ['2026-10-26', '2026-11-24', ['1 Nov', '8 Nov', '15 Nov', '22 Nov']],
    ['2026-08-27', '2026-11-24', ['1 Sep', '15 Sep', '1 Oct', '15 Oct', '1 Nov', '15 Nov']],
    ['2025-11-25', '2026-11-24', ['2026', '1 Apr', '1 Jul', '1 Oct']],
  ] as const)('the axis from %s to %s names few days', ([from, to, labels]) => {
    expect(tickDays(eachDay({ from, to })).map(({ label }) => label)).toEqual(labels);
  });
});

test('a day that is not stored is hatched and shows its standing, in the chart and in the table; zeros carry a mark', async () => {
  const chart: DailyChart = {
    ...{ id: 'x', title: 'Things', axis: 'Things per day', unit: 'count', shape: 'bars', summary: 'Few.' },
    series: ['Things'],
    days: [
      { day: '2026-11-01', standing: null, isLeftOut: false, values: [null] },
      { day: '2026-11-02', standing: 'missing', isLeftOut: false, values: [null] },
      { day: '2026-11-03', standing: 'stored', isLeftOut: true, values: [0] },
      { day: '2026-11-04', standing: 'final', isLeftOut: false, values: [1_200] },
    ],
  };
  const text = (await renderDailyChart(chart, '/file')).toString();
  const linked = await renderDailyChart({ ...chart, storyOf: (day) => `/story/${day}` }, '/file');
  expect(linked.toString().match(/<a href="\/story[^>]*>/g)).toEqual([
    '<a href="/story/2026-11-02">',
    '<a href="/story/2026-11-02" tabindex="-1">',
    '<a href="/story/2026-11-03" tabindex="-1">',
    '<a href="/story/2026-11-04" tabindex="-1">',
    '<a href="/story/2026-11-04">',
    '<a href="/story/2026-11-03">',
    '<a href="/story/2026-11-02">',
  ]);
  expect(text).toContain('aria-labelledby="x-title x-desc"');
  expect(text).toContain('<rect x="0%" width="25%" height="180" fill="url(#untracked)"/>');
  expect(text).toContain('<rect x="25%" width="25%" height="180" fill="url(#not-stored)"/>');
  expect(text.match(/<path d="[^"]*"/g)).toEqual(['<path d="M0.78 0h0.19v1h-0.19z"']);
  expect(text).toContain('<circle class="zeros" cx="62.5%"');
  expect(text.match(/<title>[^<]*/g)).toEqual([
    '<title>2026-11-01: not tracked',
    '<title>2026-11-02: missing',
    '<title>2026-11-03: 0, stored, left out by Losant',
    '<title>2026-11-04: 1,200, final',
  ]);
  const cells = text.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
  expect(cells).toContain(
    '2026-11-04 1,200 ● final 2026-11-03 0 ◐ stored , left out by Losant 2026-11-02 – ✕ missing',
  );
});
