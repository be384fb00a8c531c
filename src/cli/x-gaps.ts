import { EXIT } from '../exit.ts';
import { defineCommand } from './command.ts';
import { switchOption } from './options.ts';

export const gaps = defineCommand({
  name: 'gaps',
  summary: 'every number that is missing; exits 3 if there is one',
  group: 'Look',
  needs: 'database',
  options: { all: switchOption('also what is unavailable or waived, which is no gap') },
  examples: [
    { args: 'gaps', does: 'what is missing, why, and when it is tried again' },
    { args: 'gaps --all --json', does: 'the same and all that is known to be missing, as data' },
  ],
  async run(context, { all }) {
    const { output, hostNow } = context;
    const { withDatabase } = await import('./open-database.ts');
    const { readGaps, readKnownMissing } = await import('../database/read/gaps.ts');
    const { renderGaps, toDocument } = await import('./gaps.ts');
    const { missing, known } = await withDatabase(context, async ({ db }) => ({
      missing: await readGaps(db),
      known: all ? await readKnownMissing(db) : [],
    }));
    if (output.json) output.printJson([...missing, ...known].map(toDocument));
    else output.print(...renderGaps({ missing, known: all ? known : null, nowMs: hostNow() }));
    return missing.length > 0 ? EXIT.incomplete : EXIT.ok;
  },
});
