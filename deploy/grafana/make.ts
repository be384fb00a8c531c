/**
 * Writes the dashboards: `npm run dashboards`. Each is described once, in usage.ts and quality.ts; a test compares the
 * files with what this makes.
 */
import { writeFileSync } from 'node:fs';
import { quality } from './quality.ts';
import { usage } from './usage.ts';

for (const [name, dashboard] of Object.entries({ usage, quality })) {
  const path = new URL(`dashboards/${name}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(dashboard, null, 2)}\n`);
}
