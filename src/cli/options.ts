import { SettingsError } from '../errors.ts';
import { addDays, type DayRange, dayAt, dayStartMs, parseDay, type UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { type Month, parseMonth } from '../usage/period.ts';

/** An option of a command. Its name is the key under which it is declared, in kebab case. */
export interface OptionSpec<T> {
  /** Whether it is given by its place, without a name. */
  readonly isArgument?: boolean;
  /** The placeholder for its value in help; null for a switch. */
  readonly value: string | null;
  readonly summary: string;
  readonly initial: T;
  readonly isRequired?: boolean;
  /** Whether it takes several values: repeated, or listed with commas. */
  readonly isList?: boolean;
  /** Whether it takes several values, each with its name, because a value may contain commas. */
  readonly isRepeated?: boolean;
  /** The program's behaviour without it, for help; empty to show none. */
  readonly shownDefault?: string;
  readonly choices?: readonly string[];
  /** `read` reads one value after `previous`. Throws SettingsError with the problem of the value. */
  read(text: string, previous: T): T;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

export type OptionValues<O extends OptionSpecs> = {
  readonly [Name in keyof O]: O[Name] extends OptionSpec<infer T> ? T : never;
};

/** `flagName` returns the name as written on the command line: `--dry-run` for `dryRun`. */
export function flagName(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function switchOption(summary: string): OptionSpec<boolean> {
  return { value: null, summary, initial: false, read: () => true };
}

/** `valueOption` returns an option that is null when not given; `value` is its placeholder in help. */
export function valueOption<T>(
  value: string,
  summary: string,
  read: (text: string, previous: T | null) => T,
  more: Partial<OptionSpec<T | null>> = {},
): OptionSpec<T | null> {
  return { value, summary, initial: null, read, ...more };
}

export function required<T>(spec: OptionSpec<T>): OptionSpec<NonNullable<T>> {
  // The initial value is never seen, because a command does not run without its required option.
  return { ...(spec as OptionSpec<NonNullable<T>>), isRequired: true };
}

export function argument<T>(spec: OptionSpec<T>): OptionSpec<NonNullable<T>> {
  return { ...required(spec), isArgument: true };
}

export function textOption(value: string, summary: string, shownDefault = ''): OptionSpec<string | null> {
  return valueOption(value, summary, (text) => text, { shownDefault });
}

const DAY_FORMAT = 'YYYY-MM-DD';

export function dayOption(summary: string, shownDefault = ''): OptionSpec<UsageDay | null> {
  const read = (text: string) => readDay(text) ?? fail(`A day is written ${DAY_FORMAT}.`);
  return valueOption(DAY_FORMAT, summary, read, { shownDefault });
}

export function daysOption(summary: string): OptionSpec<DayRange | null> {
  return valueOption(`${DAY_FORMAT}[..${DAY_FORMAT}]`, summary, (text) => {
    const [from = null, to = from, ...rest] = text.split('..').map(readDay);
    if (from !== null && to !== null && rest.length === 0 && from <= to) return { from, to };
    return fail(`Days are written ${DAY_FORMAT} or ${DAY_FORMAT}..${DAY_FORMAT}, the earlier first.`);
  });
}

/** `readDay` returns null for another form. Throws SettingsError for a day that the calendar lacks. */
function readDay(text: string): UsageDay | null {
  const day = parseDay(text);
  if (day !== null || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return day;
  const monthStart = dayStartMs(`${text.slice(0, 7)}-01`);
  if (Number.isNaN(monthStart)) fail(`That day does not exist: there is no month ${text.slice(5, 7)}.`);
  const [year, month] = text.split('-').map(Number);
  const days = new Date(Date.UTC(year ?? 0, month ?? 0, 0)).getUTCDate();
  return fail(`That day does not exist: ${text.slice(0, 7)} has ${days} days.`);
}

export function monthOption(summary: string): OptionSpec<Month | null> {
  const format = 'A month is written YYYY-MM, from 2015-01 to 2049-12.';
  return valueOption('YYYY-MM', summary, (text) => parseMonth(text) ?? fail(format));
}

/** `idsOption` returns an option of ids, in lower case and without duplicates. */
export function idsOption(what: string, summary: string): OptionSpec<readonly string[] | null> {
  const read = (text: string, previous: readonly string[] | null) => {
    return [...new Set([...(previous ?? []), ...readIds(what, text)])];
  };
  return valueOption('ID', summary, read, { isList: true });
}

export function idOption(what: string, summary: string): OptionSpec<string | null> {
  return valueOption('ID', summary, (text) => {
    const [id = '', ...others] = readIds(what, text);
    return others.length === 0 ? id : fail(`One ${what} at a time.`);
  });
}

function readIds(what: string, text: string): string[] {
  const ids = text.split(',').map((id) => id.trim().toLowerCase());
  return ids.every(isLosantId) ? ids : fail(`An ${what} id has 24 hex characters.`);
}

/** `choiceOption` returns an option with one of a few values; `plural` names them. */
export function choiceOption(
  plural: string,
  summary: string,
  choices: readonly string[],
): OptionSpec<string | null> {
  return valueOption('NAME', summary, (text) => readChoice(plural, choices, text), { choices });
}

export function readChoice(plural: string, choices: readonly string[], text: string): string {
  return choices.includes(text) ? text : fail(`The ${plural} are ${choices.join(', ')}.`);
}

/** `numberOption` returns an option with an integer from `min` to `max`, and `initial` without one. */
export function numberOption(
  value: string,
  summary: string,
  { min, max, initial }: { readonly min: number; readonly max: number; readonly initial: number },
): OptionSpec<number> {
  const read = (text: string) => {
    const number = Number(text);
    if (/^\d{1,9}$/.test(text) && number >= min && number <= max) return number;
    return fail(`Use a whole number from ${min} to ${max}.`);
  };
  return { value, summary, initial, shownDefault: `${initial}`, read };
}

const RATE = { min: 0.1, max: 10_000 };

export function rateOption(summary: string): OptionSpec<number | null> {
  return valueOption('N', summary, (text) => {
    const rate = Number(text);
    if (/^\d{1,9}(\.\d{1,9})?$/.test(text) && rate >= RATE.min && rate <= RATE.max) return rate;
    return fail(`Use a number from ${RATE.min} to ${RATE.max}.`);
  });
}

export function fail(message: string): never {
  throw new SettingsError(message, { hint: 'correct it and start again' });
}

export function requireOrder({ from, to }: DayRange): void {
  if (from <= to) return;
  throw new SettingsError(`--from ${from} is later than --to ${to}`, {
    hint: 'give the earlier day first; both are included',
  });
}

/** The earliest day accepted, years before the platform existed: an earlier one is a typing mistake. */
const EARLIEST_DAY = '2010-01-01';

export function requirePastDay(option: string, day: UsageDay, nowMs: number): void {
  if (day < EARLIEST_DAY) {
    throw new SettingsError(`${option} ${day}: Losant has no usage of days before ${EARLIEST_DAY}`, {
      hint: 'correct the year',
    });
  }
  if (day < dayAt(nowMs)) return;
  throw new SettingsError(`${option} ${day}: that day is not over in UTC`, {
    hint: `the newest day that can be read is ${addDays(dayAt(nowMs), -1)}`,
  });
}
