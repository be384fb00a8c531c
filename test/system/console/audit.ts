import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import type { Page } from 'playwright-core';

/** Ignored by git: to be looked at by whoever changes a page. Nobody looks at those of a machine that only checks. */
const SCREENSHOTS = fileURLToPath(new URL('../../../screenshots/', import.meta.url));
const keepsScreenshots = process.env['CI'] === undefined;

/** A contrast of 4.5 is asked of large text too. */
const CONTRAST = { normal: { expected: 4.5 }, large: { expected: 4.5 } };
const CHECKS = [{ id: 'color-contrast', options: { contrastRatio: CONTRAST } }];

/** Rules that are off by default; the contrast of 7 that one more asks for is not aimed at. */
const RULES = { 'target-size': { enabled: true }, 'landmark-complementary-is-top-level': { enabled: true } };

/** The findings of the rules, each with the elements that have it. */
const FIND = `${axe.source}
axe.configure(${JSON.stringify({ checks: CHECKS })});
axe.run(document, ${JSON.stringify({ resultTypes: ['violations'], rules: RULES })}).then(({ violations }) => violations
  .map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map(({ html }) => html).join(' | ')))`;

/** By how many pixels the page is wider than the window, and what sticks out. */
const OVERFLOW = `(() => {
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll('main *, header *')]
    .filter((each) => each.getBoundingClientRect().right > clientWidth + 1);
  const shown = wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 120)).join(' | ');
  return [scrollWidth - clientWidth + ' px too wide: ' + shown];
})()`;

const WIDTHS = [375, 768, 1280, 1920] as const;
const HEIGHT = 900;

export interface Look {
  readonly width: (typeof WIDTHS)[number];
  readonly scheme: 'light' | 'dark';
}

/** Once: what a situation shows is coloured as on the pages that are looked at in all ways. */
export const LOOKS: readonly Look[] = [{ width: 375, scheme: 'dark' }];

/** In both layouts, light and dark. */
export const MORE_LOOKS: readonly Look[] = [
  ...LOOKS,
  { width: 1280, scheme: 'light' },
  { width: 1280, scheme: 'dark' },
];

/** What is wrong with the page that is open; a screenshot of each look is kept under `name`. */
export async function auditPage(page: Page, name: string, looks: readonly Look[]): Promise<string[]> {
  const problems: string[] = [];
  const look = async (expression: string, width: number) => {
    const found = await page.evaluate<string[]>(expression);
    problems.push(...found.map((each) => `${name} at ${width} px: ${each}`));
  };
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: HEIGHT });
    await look(OVERFLOW, width);
  }
  for (const { width, scheme } of looks) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: HEIGHT });
    await look(FIND, width);
    if (!keepsScreenshots) continue;
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${width}-${scheme}.png`), fullPage: true });
  }
  return problems;
}
