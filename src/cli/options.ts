/**
 * Options of commands. A command declares a shape of these schemas; types, help and errors come from it. A message of a
 * schema is a sentence, shown behind the option as it was given.
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { type Line, renderTable } from '../terminal/text.ts';
import { addDays, type DayRange, dayAt, parseDay, parseMonth } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY, LAST_DAY } from '../usage/policy.ts';
import { streamNames } from '../usage/streams/catalog.ts';

export type Options = Readonly<Record<string, z.ZodType>>;
export type OptionValues<O extends Options> = z.output<z.ZodObject<O>>;

/** What help says of an option; its name is the key under which it is declared, in kebab case. */
interface Help {
  /** The placeholder of its value; null for a switch. */
  readonly value: string | null;
  readonly summary: string;
  readonly isRequired?: boolean;
  /** Whether it takes several values: repeated, or listed with commas. */
  readonly isList?: boolean;
  /** Whether it is given by its place, without a name. */
  readonly isArgument?: boolean;
  /** The program's behaviour without it. */
  readonly usually?: string;
}

const helps = z.registry<Help>();

function helpOf(schema: z.ZodType | undefined): Help {
  return (schema && helps.get(schema)) ?? { value: null, summary: '' };
}

/** A kind of value, read from one text. */
type Kind<T> = z.ZodType<T, string>;

export function flag(summary: string) {
  return z.boolean().default(false).register(helps, { value: null, summary });
}

export function required<T>(value: string, summary: string, kind: Kind<T>) {
  return kind.nonoptional().register(helps, { value, summary, isRequired: true });
}

/** An option that is null when it is not given. */
export function optional<T>(value: string, summary: string, kind: Kind<T>, usually = '') {
  return kind.nullable().default(null).register(helps, { value, summary, usually });
}

/** An option that takes several values, without duplicates; null when it is not given. */
export function several<T extends string>(value: string, summary: string, kind: Kind<T>) {
  const listed = z
    .array(z.string())
    .transform((texts) => texts.flatMap((text) => text.split(',').map((each) => each.trim())))
    .pipe(z.array(kind))
    .transform((all): readonly T[] => [...new Set(all)]);
  return listed.nullable().default(null).register(helps, { value, summary, isList: true });
}

/** A value that is given by its place. */
export function argument<T>(value: string, summary: string, kind: Kind<T>) {
  return kind.nonoptional().register(helps, { value, summary, isRequired: true, isArgument: true });
}

export const text = z.string();

/** A reason for the record, for whoever bills. */
export const reason = z
  .string()
  .trim()
  .refine(
    (given) => !['', 'TEXT', 'REASON'].includes(given),
    'That is no reason: say why, for whoever bills.',
  );

export const day = z.string().transform((given, context) => {
  const read = parseDay(given);
  if (read !== null) return read;
  context.addIssue('That is no day, which is written YYYY-MM-DD.');
  return z.NEVER;
});

/** A day, or the first and the last with `..` between them. */
export const days = z.string().transform((given, context): DayRange => {
  const [from = null, to = from, ...rest] = given.split('..').map(parseDay);
  if (from !== null && to !== null && rest.length === 0 && from <= to) return { from, to };
  context.addIssue('Days are written YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD, the earlier first.');
  return z.NEVER;
});

export const month = z.string().refine((given) => parseMonth(given) !== null, {
  error: 'A month is written YYYY-MM, from 2015-01 to 2049-12.',
});

/** Returns the kind of an id, such as `organization`, in lower case. */
export function id(what: string): Kind<string> {
  return z
    .string()
    .transform((given) => given.trim().toLowerCase())
    .refine(isLosantId, `An ${what} id has 24 hex characters.`);
}

/** Returns the kind of one of a few values; `plural` names them. */
export function oneOf<T extends string>(plural: string, choices: readonly T[]): Kind<T> {
  return z.enum(choices, { error: `The ${plural} are ${choices.join(', ')}.` }) as Kind<T>;
}

export const stream = oneOf('streams', streamNames);

export function whole(min: number, max: number): Kind<number> {
  const error = `Use a whole number from ${min} to ${max}.`;
  return z
    .string()
    .regex(/^\d{1,9}$/, { error, abort: true })
    .transform(Number)
    .refine((number) => number >= min && number <= max, error);
}

/** Throws SettingsError unless the days are in order, over in UTC, and such as the database takes. */
export function requirePastDays(
  { from, to }: DayRange,
  [first, last]: readonly [string, string],
  nowMs: number,
): void {
  const today = dayAt(nowMs);
  for (const [option, given] of [
    [first, from],
    [last, to],
  ]) {
    if (given === undefined || given < FIRST_DAY || given > LAST_DAY) {
      const message = `${option} ${given}: the program knows days from ${FIRST_DAY} to ${LAST_DAY}`;
      throw new SettingsError(message, { hint: 'correct the year' });
    }
    if (given >= today) {
      throw new SettingsError(`${option} ${given}: that day is not over in UTC`, {
        hint: `the newest day that can be read is ${addDays(today, -1)}`,
      });
    }
  }
  if (from <= to) return;
  throw new SettingsError(`${first} ${from} is later than ${last} ${to}`, {
    hint: 'give the earlier day first; both are included',
  });
}

/** Returns the options that a command has besides its own. */
export function commonOptions({
  json,
  needs,
}: {
  readonly json?: boolean;
  readonly needs: unknown;
}): Options {
  const config = optional('FILE', 'settings file for several instances', text, 'LOSANT_USAGE_CONFIG');
  return {
    ...(json !== false && { json: flag('print one JSON document instead of text') }),
    ...(needs !== 'none' && { config }),
  };
}

/** Returns the name as written on the command line, without its dashes: `dry-run` for `dryRun`. */
function longName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function camelName(name: string): string {
  return name.replaceAll(/-[a-z]/g, (letter) => letter.slice(1).toUpperCase());
}

function termOf(name: string, schema: z.ZodType | undefined): string {
  const { value, isList, isArgument } = helpOf(schema);
  if (isArgument) return `<${name}>`;
  return `--${longName(name)}${value === null ? '' : ` <${value}${isList ? '...' : ''}>`}`;
}

export function renderUsage(name: string, shape: Options): string {
  const places = placesOf(shape).map((key) => ` ${termOf(key, shape[key])}`);
  return `Usage: losant-usage ${name} [options]${places.join('')}`;
}

function placesOf(shape: Options): string[] {
  return Object.keys(shape).filter((name) => helpOf(shape[name]).isArgument);
}

export function renderOptions(shape: Options): Line[] {
  const rows = Object.entries(shape).map(([name, schema]) => {
    const { summary, isRequired, isArgument, isList, usually } = helpOf(schema);
    const facts = [
      isRequired && !isArgument ? 'required' : '',
      isList ? 'repeat it, or use commas' : '',
      usually ? `default: ${usually}` : '',
    ].filter((fact) => fact !== '');
    return [termOf(name, schema), facts.length === 0 ? summary : `${summary} (${facts.join('; ')})`];
  });
  return renderTable({ rows });
}

/** Throws SettingsError with the first mistake in the options of a command. */
export function readOptions<O extends Options>(
  command: string,
  args: readonly string[],
  shape: O,
): OptionValues<O> {
  const mistake: Mistake = (message) => {
    return new SettingsError(message, { hint: `losant-usage ${command} --help lists its options` });
  };
  const given = readGiven(args, shape, mistake);
  const parsed = z.object(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const [name = '', index] = (issue?.path ?? []).map(String);
  const schema = shape[name];
  const value = given[name];
  if (schema === undefined) throw parsed.error;
  if (value === undefined) throw mistake(`${termOf(name, schema)} is missing`);
  const shown = Array.isArray(value) ? value.join(',').split(',')[Number(index ?? 0)] : value;
  throw mistake(`${termOf(name, schema).replace(/ .*/, '')} ${shown}: ${issue?.message}`);
}

type Mistake = (message: string) => SettingsError;
type Given = Record<string, string | boolean | string[]>;

/** Returns the texts of each option by its name, `true` for a switch. */
function readGiven(args: readonly string[], shape: Options, mistake: Mistake): Given {
  const places = placesOf(shape);
  const given: Given = {};
  /** The option that the values before this one belong to, if it takes several. */
  let list: string | undefined;
  for (const token of tokensOf(args, shape, mistake)) {
    if (token.kind === 'option-terminator') continue;
    const isOption = token.kind === 'option';
    const name = isOption ? camelName(token.name) : (list ?? places.shift());
    if (name === undefined) throw mistake(`'${token.value}' is too much: it belongs to no option`);
    const { isList } = helpOf(shape[name]);
    const before = given[name];
    if (isList) given[name] = [...(Array.isArray(before) ? before : []), token.value ?? ''];
    else if (before === undefined || before === true) given[name] = token.value ?? true;
    else throw mistake(`${termOf(name, shape[name])} was given 2 times`);
    if (isOption) list = isList ? name : undefined;
  }
  return given;
}

function tokensOf(args: readonly string[], shape: Options, mistake: Mistake) {
  const options = Object.fromEntries(
    Object.entries(shape).map(([name, schema]) => {
      const type: 'boolean' | 'string' = helpOf(schema).value === null ? 'boolean' : 'string';
      return [longName(name), { type, multiple: true }] as const;
    }),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, tokens: true }).tokens;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const [, unknown] = /^Unknown option '(.*?)'/.exec(error.message) ?? [];
    if (unknown === undefined) throw mistake(error.message.replaceAll('\n', ' '));
    const known = Object.keys(options).map((name) => `--${name}`);
    const near = nearestName(unknown, known);
    throw mistake(`unknown option '${unknown}'${near === null ? '' : `. Did you mean ${near}?`}`);
  }
}
