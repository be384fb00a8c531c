import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';

/** Ignored by git: for people who change a page. A CI machine takes no screenshots. */
const SCREENSHOTS = fileURLToPath(new URL('../../../screenshots/', import.meta.url));
const takesScreenshots = process.env['CI'] === undefined;

/** Large text needs a contrast of 4.5 too. */
const CONTRAST = { normal: { expected: 4.5 }, large: { expected: 4.5 } };
const CHECKS = [{ id: 'color-contrast', options: { contrastRatio: CONTRAST } }];

/** Rules that are off by default, except the one for a contrast of 7, which the console does not have. */
const RULES = { 'target-size': { enabled: true }, 'landmark-complementary-is-top-level': { enabled: true } };

/** Evaluates to the violations of the rules, each with the first elements. */
const VIOLATIONS = `axe.configure(${JSON.stringify({ checks: CHECKS })});
axe.run(document, ${JSON.stringify({ resultTypes: ['violations'], rules: RULES })}).then(({ violations }) => violations
  .map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map(({ html }) => html).join(' | ')))`;

/** Evaluates to the number of pixels by which the page is wider than the window, with the elements that overflow. */
const OVERFLOW = `(() => {
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll('main *, header *')]
    .filter((each) => each.getBoundingClientRect().right > clientWidth + 1);
  const elements = wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 120)).join(' | ');
  return [scrollWidth - clientWidth + ' px too wide: ' + elements];
})()`;

/** Evaluates to the cells of which an instant is cut off: rows could not be told apart. A name may be. */
const CUT_INSTANTS = `[...document.querySelectorAll('td:has(time)')]
  .filter((each) => each.scrollWidth > each.clientWidth).slice(0, 3).map((each) => 'cut off: ' + each.innerText)`;

const WIDTHS = [375, 768, 1440, 1920] as const;
const HEIGHT = 900;

interface Look {
  readonly width: (typeof WIDTHS)[number];
  readonly scheme: 'light' | 'dark';
}

/** One look suffices for most situations: all looks of one situation cover the colors. */
export const LOOKS: readonly Look[] = [{ width: 375, scheme: 'dark' }];

/** Both layouts, light and dark. */
export const ALL_LOOKS: readonly Look[] = [...LOOKS, { width: 1440, scheme: 'light' }, { width: 1440, scheme: 'dark' }];

/** The script that checks accessibility, as small as it is published. */
const AXE = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));

/** Prepares a tab for pages to be audited: the browser parses the script once per page, and not once per look. */
export async function prepareAudit(page: Page): Promise<void> {
  await page.addInitScript({ path: AXE });
  // A page that reloads would end its audit, or the visit of the next page.
  await page.addInitScript('window.setInterval = () => 0');
}

/** Returns the problems of the open page of a prepared tab, and saves a screenshot of each look under `name`. */
export async function auditPage(page: Page, name: string, looks: readonly Look[]): Promise<string[]> {
  const problems: string[] = [];
  const look = async (expression: string, width: number) => {
    const findings = await page.evaluate<string[]>(expression);
    problems.push(...findings.map((each) => `${name} at ${width} px: ${each}`));
  };
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: HEIGHT });
    await look(`[...${OVERFLOW}, ...${CUT_INSTANTS}]`, width);
    for (const { scheme } of looks.filter((each) => each.width === width)) {
      await page.emulateMedia({ colorScheme: scheme });
      await look(VIOLATIONS, width);
      if (!takesScreenshots) continue;
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${width}-${scheme}.png`), fullPage: true });
    }
  }
  return problems;
}
