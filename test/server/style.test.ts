import { describe, expect, test } from 'vitest';
import { COLORS, STYLE } from '../../src/console/style.ts';

/** Relative luminance by WCAG 2.2. */
function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

test('black on white is 21, and the blue of unstyled links on the dark ground is too faint', () => {
  expect(contrast('#000000', '#ffffff')).toBeCloseTo(21);
  expect(contrast('#0000ee', '#14181f')).toBeLessThan(2);
});

describe.for([
  ['light', 0],
  ['dark', 1],
] as const)('%s', ([, shade]) => {
  test.for(['text', 'quiet', 'good', 'bad', 'link'] as const)('%s can be read', (name) => {
    const { [name]: color, ground, panel } = COLORS;
    expect(contrast(color[shade], ground[shade])).toBeGreaterThanOrEqual(4.5);
    expect(contrast(color[shade], panel[shade])).toBeGreaterThanOrEqual(4.5);
  });
});

test('every colour that is used is one of these', () => {
  const used = new Set([...STYLE.matchAll(/var\(--(\w+)\)/g)].map(([, name]) => name));
  expect(used).toEqual(new Set(Object.keys(COLORS)));
  expect(STYLE.replaceAll(/--\w+: #[0-9a-f]{6};/g, '')).not.toMatch(/#[0-9a-f]{3,6}\b/i);
});
