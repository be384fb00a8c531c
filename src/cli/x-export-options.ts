import { idsOption, numberOption, shardOption, streamsOption, switchOption } from './options.ts';

/** Longer waits are a scheduler's matter. */
const WAIT_MAX_SECONDS = 86_400;

export const waitOption = numberOption('SECONDS', 'wait up to this long for another process to finish', {
  min: 0,
  max: WAIT_MAX_SECONDS,
  initial: 0,
});

/** What `run` and `backfill` have in common. */
export const exportOptions = {
  instance: idsOption('instance', 'only these instances'),
  org: idsOption('organization', 'only these organizations'),
  stream: streamsOption('only these streams'),
  shard: shardOption('only part I, from 0, of N parts of all organizations'),
  dryRun: switchOption('print the plan and change nothing'),
  wait: waitOption,
  verbose: switchOption('print every count, and the log on a terminal'),
};
