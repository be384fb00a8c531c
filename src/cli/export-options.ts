import type { Shard } from '../usage/organization.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import {
  choiceOption,
  fail,
  idsOption,
  numberOption,
  type OptionSpec,
  readChoice,
  switchOption,
  valueOption,
} from './options.ts';

export function streamOption(summary: string): OptionSpec<string | null> {
  return choiceOption('streams', summary, streamNames);
}

export function streamsOption(summary: string): OptionSpec<readonly string[] | null> {
  const read = (text: string, previous: readonly string[] | null) => {
    const names = text.split(',').map((each) => readChoice('streams', streamNames, each.trim()));
    return [...new Set([...(previous ?? []), ...names])];
  };
  return valueOption('NAME', summary, read, { isList: true, choices: streamNames });
}

function shardOption(summary: string): OptionSpec<Shard | null> {
  return valueOption('I/N', summary, (text) => {
    const [, index, of] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
    const shard = { index: Number(index), count: Number(of) };
    if (shard.index < shard.count) return shard;
    const count = shard.count > 1 ? shard.count : 4;
    return fail(`Shards are counted from 0: of ${count}, use 0/${count} to ${count - 1}/${count}.`);
  });
}

/** The longest wait; a longer one is a matter for a scheduler. */
const WAIT_MAX_SECONDS = 86_400;

export const waitOption = numberOption('SECONDS', 'wait up to this long for another process to finish', {
  min: 0,
  max: WAIT_MAX_SECONDS,
  initial: 0,
});

export const exportOptions = {
  instance: idsOption('instance', 'only these instances'),
  org: idsOption('organization', 'only these organizations'),
  stream: streamsOption('only these streams'),
  shard: shardOption('only part I, from 0, of N parts of all organizations'),
  dryRun: switchOption('print the plan and change nothing'),
  wait: waitOption,
  verbose: switchOption('print every count, and the log on a terminal'),
};
