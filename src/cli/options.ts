import { SettingsError } from '../errors.ts';
import { type DayRange, parseDay, type UsageDay } from '../usage/day.ts';
import { type Month, parseMonth } from '../usage/period.ts';
import type { Shard } from '../usage/shard.ts';

/** An option of a command, by itself: its name is the key it is declared under, in kebab case. */
export interface OptionSpec<T> {
  /** Given by its place, without a name. */
  readonly isArgument?: boolean;
  /** What stands for its value in help; null: a switch. */
  readonly value: string | null;
  readonly summary: string;
  /** What it is when not given. */
  readonly absent: T;
  readonly isRequired?: boolean;
  /** Takes several values: repeated, or one after the other. */
  readonly isList?: boolean;
  /** Takes several values, each with its name: a value may hold commas. */
  readonly isRepeated?: boolean;
  /** What the program does without it, for help. */
  readonly shownDefault?: string;
  /** The only values there are: asked for when needed, as they may be costly to load. */
  readonly choices?: () => Promise<readonly string[]>;
  /** Whether its value is the path of a file. */
  readonly isPath?: boolean;
  /** Reads one value; `previous` is what came before. Throws SettingsError with what is wrong about the value. */
  read(text: string, previous: T): T | Promise<T>;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

export type OptionValues<O extends OptionSpecs> = {
  readonly [Name in keyof O]: O[Name] extends OptionSpec<infer T> ? T : never;
};

/** `dryRun` as it is written on the command line. */
export function flagName(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function switchOption(summary: string): OptionSpec<boolean> {
  return { value: null, summary, absent: false, read: () => true };
}

/** One of a few values that is given by its place and must be given. */
export function choiceArgument(summary: string, choices: readonly string[]): OptionSpec<string> {
  return {
    isArgument: true,
    value: choices.join('|'),
    summary,
    absent: '',
    isRequired: true,
    choices: () => Promise.resolve(choices),
    read: (text) => {
      if (choices.includes(text)) return text;
      throw wrong(`Use ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}.`);
    },
  };
}

/** A folder that is given by its place and must be given. */
export function folderArgument(summary: string): OptionSpec<string> {
  return {
    isArgument: true,
    value: 'DIR',
    summary,
    absent: '',
    isRequired: true,
    isPath: true,
    read: (text) => text,
  };
}

/** The same option, which must be given. */
export function required<T>(spec: OptionSpec<T>): OptionSpec<NonNullable<T>> {
  // Never seen: a command whose required option is missing does not run.
  return { ...(spec as OptionSpec<NonNullable<T>>), isRequired: true };
}

export function textOption(value: string, summary: string): OptionSpec<string | null> {
  return { value, summary, absent: null, read: (text) => text };
}

export function pathOption(summary: string, shownDefault?: string): OptionSpec<string | null> {
  const spec = { ...textOption('FILE', summary), isPath: true };
  return shownDefault === undefined ? spec : { ...spec, shownDefault };
}

const DAY_FORMAT = 'YYYY-MM-DD';

export function dayOption(summary: string): OptionSpec<UsageDay | null> {
  return { value: DAY_FORMAT, summary, absent: null, read: readDay };
}

export function daysOption(summary: string): OptionSpec<DayRange | null> {
  return { value: `${DAY_FORMAT}[..${DAY_FORMAT}]`, summary, absent: null, read: readDays };
}

export function monthOption(summary: string): OptionSpec<Month | null> {
  return {
    value: 'YYYY-MM',
    summary,
    absent: null,
    read: (text) => {
      const month = parseMonth(text);
      if (month !== null) return month;
      throw wrong('A month is written YYYY-MM, from 2015-01 to 2049-12.');
    },
  };
}

/** Ids in lower case, each once. */
export function idsOption(what: string, summary: string): OptionSpec<readonly string[] | null> {
  return {
    value: 'ID',
    summary,
    isList: true,
    absent: null,
    read: (text, previous) => [...new Set([...(previous ?? []), ...readIds(what, text)])],
  };
}

export function idOption(what: string, summary: string): OptionSpec<string | null> {
  return {
    value: 'ID',
    summary,
    absent: null,
    read: (text) => {
      const [id = '', ...others] = readIds(what, text);
      if (others.length === 0) return id;
      throw wrong(`One ${what} at a time.`);
    },
  };
}

/** One of a few values; `plural` is what they are called. */
export function choiceOption(
  { value, plural }: { readonly value: string; readonly plural: string },
  summary: string,
  choices: () => Promise<readonly string[]>,
): OptionSpec<string | null> {
  return {
    value,
    summary,
    absent: null,
    choices,
    read: async (text) => {
      const names = await choices();
      if (names.includes(text)) return text;
      throw wrong(`The ${plural} are ${names.join(', ')}.`);
    },
  };
}

export function streamsOption(summary: string): OptionSpec<readonly string[] | null> {
  return {
    value: 'NAME',
    summary,
    isList: true,
    absent: null,
    choices: readStreamNames,
    read: async (text, previous) => {
      const names = await Promise.all(text.split(',').map(readStream));
      return [...new Set([...(previous ?? []), ...names])];
    },
  };
}

export function streamOption(summary: string): OptionSpec<string | null> {
  return choiceOption({ value: 'NAME', plural: 'streams' }, summary, readStreamNames);
}

/** A whole number from `min` to `max`; its default is what stands for it when not given. */
export function numberOption(
  value: string,
  summary: string,
  { min, max, initial }: { readonly min: number; readonly max: number; readonly initial: number },
): OptionSpec<number> {
  return {
    value,
    summary,
    absent: initial,
    shownDefault: `${initial}`,
    read: (text) => {
      const number = Number(text);
      if (/^\d{1,9}$/.test(text) && number >= min && number <= max) return number;
      throw wrong(`Use a whole number from ${min} to ${max}.`);
    },
  };
}

/** The bounds of the setting REQUESTS_PER_SECOND. */
const RATE = { min: 0.1, max: 10_000 };

export function rateOption(summary: string): OptionSpec<number | null> {
  return {
    value: 'N',
    summary,
    absent: null,
    read: (text) => {
      const rate = Number(text);
      if (/^\d{1,9}(\.\d{1,9})?$/.test(text) && rate >= RATE.min && rate <= RATE.max) return rate;
      throw wrong(`Use a number from ${RATE.min} to ${RATE.max}.`);
    },
  };
}

export function shardOption(summary: string): OptionSpec<Shard | null> {
  return {
    value: 'I/N',
    summary,
    absent: null,
    read: (text) => {
      const [, index, of] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
      const shard = { index: Number(index), count: Number(of) };
      if (shard.index < shard.count) return shard;
      const count = shard.count > 1 ? shard.count : 4;
      throw wrong(`Shards are counted from 0: of ${count}, use 0/${count} to ${count - 1}/${count}.`);
    },
  };
}

function readDay(text: string): UsageDay {
  const day = parseDay(text);
  if (day === null) throw wrong(`A day is written ${DAY_FORMAT}.`);
  return day;
}

function readDays(text: string): DayRange {
  const [from = null, to = from, ...rest] = text.split('..').map((part) => parseDay(part));
  if (from !== null && to !== null && rest.length === 0 && from <= to) return { from, to };
  throw wrong(`Days are written ${DAY_FORMAT} or ${DAY_FORMAT}..${DAY_FORMAT}, the earlier first.`);
}

function readIds(what: string, text: string): string[] {
  const ids = text.split(',').map((id) => id.trim().toLowerCase());
  if (ids.every((id) => /^[0-9a-f]{24}$/.test(id))) return ids;
  throw wrong(`An ${what} id has 24 hex characters.`);
}

/** Loaded with all that reads a stream's answers. */
async function readStreamNames(): Promise<readonly string[]> {
  return (await import('../usage/streams/catalog.ts')).streamNames;
}

async function readStream(text: string): Promise<string> {
  const names = await readStreamNames();
  const name = names.find((each) => each === text.trim());
  if (name !== undefined) return name;
  throw wrong(`The streams are ${names.join(', ')}.`);
}

function wrong(message: string): SettingsError {
  return new SettingsError(message, { hint: 'correct it and start again' });
}
