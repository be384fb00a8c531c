import { EXIT } from '../exit.ts';
import { defineCommand } from './command.ts';

const RUNS_SHOWN = 5;

export const status = defineCommand({
  name: 'status',
  summary: 'how far the numbers reach, and the last runs; exits 3 if something is missing',
  group: 'Look',
  needs: 'database',
  options: {},
  examples: [{ args: 'status', does: 'is everything there?' }],
  async run(context) {
    const { output, hostNow } = context;
    const { withDatabase } = await import('./open-database.ts');
    const { readFreshness } = await import('../database/read/freshness.ts');
    const { readInstances } = await import('../database/read/instances.ts');
    const { readLastRuns } = await import('../database/read/runs.ts');
    const { joinReports, renderStatus } = await import('./status.ts');
    const read = await withDatabase(context, async ({ db }) => ({
      instances: await readInstances(db),
      streams: await readFreshness(db),
      runs: await readLastRuns(db, RUNS_SHOWN),
    }));
    const gaps = read.streams.reduce((sum, stream) => sum + stream.gaps, 0);
    const instances = joinReports(read);
    if (output.json) output.printJson({ gaps, instances });
    else output.print(...renderStatus(instances, hostNow()));
    return gaps > 0 ? EXIT.incomplete : EXIT.ok;
  },
});
