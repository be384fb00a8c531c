/** Writes the dashboards from usage.ts and quality.ts: `npm run dashboards`. A test compares the files with them. */
import { writeFileSync } from 'node:fs';
import { quality } from './quality.ts';
import { usage } from './usage.ts';

for (const [name, dashboard] of Object.entries({ usage, quality })) {
  const path = new URL(`dashboards/${name}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(dashboard, null, 2)}\n`);
}
