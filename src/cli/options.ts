/**
 * Options of commands. A command declares a shape of these schemas; types, help and errors come from it. A message of a
 * schema is a sentence, shown behind the option as it was given.
 */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { type Line, renderTable } from '../terminal/text.ts';
import { addDays, type DayRange, dayAt, dayStartMs, parseDay, type UsageDay } from '../usage/day.ts';
import { parseMonth } from '../usage/month.ts';
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

function helpOf(schema: z.ZodType): Help {
  return helps.get(schema) ?? { value: null, summary: '' };
}

function register<S extends z.ZodType>(schema: S, help: Help): S {
  helps.add(schema, help);
  return schema;
}

/** A kind of value, read from one text. */
type Kind<T> = z.ZodType<T, string>;

export function flag(summary: string) {
  return register(z.boolean().default(false), { value: null, summary });
}

export function required<T>(value: string, summary: string, kind: Kind<T>) {
  return register(kind.nonoptional(), { value, summary, isRequired: true });
}

/** An option that is null when it is not given. */
export function optional<T>(value: string, summary: string, kind: Kind<T>, usually = '') {
  return register(kind.nullable().default(null), { value, summary, usually });
}

/** An option that takes several values, without duplicates; null when it is not given. */
export function several<T extends string>(value: string, summary: string, kind: Kind<T>) {
  const listed = z
    .array(z.string())
    .transform((texts) => texts.flatMap((text) => text.split(',').map((each) => each.trim())))
    .pipe(z.array(kind))
    .transform((all): readonly T[] => [...new Set(all)]);
  return register(listed.nullable().default(null), { value, summary, isList: true });
}

/** A value that is given by its place. */
export function argument<T>(value: string, summary: string, kind: Kind<T>) {
  return register(kind.nonoptional(), { value, summary, isRequired: true, isArgument: true });
}

export const text = z.string();

/** A reason for the record, for whoever bills. */
export const reason = z
  .string()
  .trim()
  .refine((given) => given !== '', 'It is empty: say why, for whoever bills.')
  .refine(
    (given) => !['TEXT', 'REASON'].includes(given),
    'That stands for a reason: say why, for whoever bills.',
  );

export const day = z.string().transform((given, context) => {
  const problem = problemOfDay(given);
  const read = parseDay(given);
  if (problem === null && read !== null) return read;
  context.addIssue({ code: 'custom', message: problem ?? 'A day is written YYYY-MM-DD.' });
  return z.NEVER;
});

/** A day, or the first and the last with `..` between them. */
export const days = z.string().transform((given, context): DayRange => {
  const [from = null, to = from, ...rest] = given.split('..').map(parseDay);
  const isRange = from !== null && to !== null && rest.length === 0 && from <= to;
  const problem = given
    .split('..')
    .map(problemOfDay)
    .find((each) => each !== null && !isRange);
  if (isRange) return { from, to };
  const format = 'Days are written YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD, the earlier first.';
  context.addIssue({ code: 'custom', message: problem ?? format });
  return z.NEVER;
});

/** Returns the problem of a text that looks like a day; null if it has none, or is no day at all. */
function problemOfDay(given: string): string | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(given) || parseDay(given) !== null) return null;
  if (Number.isNaN(dayStartMs(`${given.slice(0, 7)}-01`))) {
    return `That day does not exist: there is no month ${given.slice(5, 7)}.`;
  }
  const [year = 0, month = 0] = given.split('-').map(Number);
  const count = new Date(Date.UTC(year, month, 0)).getUTCDate();
  return `That day does not exist: ${given.slice(0, 7)} has ${count} days.`;
}

export const month = z.string().refine((given) => parseMonth(given) !== null, {
  error: 'A month is written YYYY-MM, from 2015-01 to 2049-12.',
});

/** Returns the kind of an id, such as `organization`, in lower case. */
export function id(what: string): Kind<string> {
  return z
    .string()
    .transform((given) => given.trim().toLowerCase())
    .refine((given) => !given.includes(','), { error: `One ${what} at a time.`, abort: true })
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
  range: DayRange,
  [first, last]: readonly [string, string],
  nowMs: number,
): void {
  requirePastDay(first, range.from, nowMs);
  requirePastDay(last, range.to, nowMs);
  if (range.from <= range.to) return;
  throw new SettingsError(`${first} ${range.from} is later than ${last} ${range.to}`, {
    hint: 'give the earlier day first; both are included',
  });
}

export function requirePastDay(option: string, given: UsageDay, nowMs: number): void {
  if (given < FIRST_DAY || given > LAST_DAY) {
    throw new SettingsError(`${option} ${given}: the program knows days from ${FIRST_DAY} to ${LAST_DAY}`, {
      hint: 'correct the year',
    });
  }
  const today = dayAt(nowMs);
  if (given < today) return;
  throw new SettingsError(`${option} ${given}: that day is not over in UTC`, {
    hint: `the newest day that can be read is ${addDays(today, -1)}`,
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
    noColor: flag('print without colours, as with NO_COLOR'),
  };
}

/** Returns the name as written on the command line: `--dry-run` for `dryRun`. */
function flagName(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function termOf(name: string, schema: z.ZodType): string {
  const { value, isList, isArgument } = helpOf(schema);
  if (isArgument) return `<${name}>`;
  return `${flagName(name)}${value === null ? '' : ` <${value}${isList ? '...' : ''}>`}`;
}

export function renderUsage(name: string, shape: Options): string {
  const places = Object.entries(shape).filter(([, schema]) => helpOf(schema).isArgument);
  return ['Usage: losant-usage', name, '[options]', ...places.map(([key, each]) => termOf(key, each))].join(
    ' ',
  );
}

export function renderOptions(shape: Options): Line[] {
  const rows = Object.entries(shape).map(([name, schema]) => {
    const { summary, isRequired, isArgument, isList, usually } = helpOf(schema);
    const facts = [
      isRequired && !isArgument ? 'required' : '',
      isList ? 'several: repeat it, or separate by commas' : '',
      usually ? `default: ${usually}` : '',
    ].filter((fact) => fact !== '');
    return [termOf(name, schema), facts.length === 0 ? summary : `${summary} (${facts.join('; ')})`];
  });
  return renderTable({ rows });
}

/** Throws SettingsError with the first mistake, as a sentence without a hint. */
export function readOptions<O extends Options>(args: readonly string[], shape: O): OptionValues<O> {
  const given = readGiven(args, shape);
  const parsed = z.object(shape).safeParse(given, { reportInput: true });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const [name = '', index] = (issue?.path ?? []).map(String);
  const schema = shape[name];
  if (schema === undefined) throw parsed.error;
  const texts = [given[name]].flat();
  const isMissing = texts[0] === undefined;
  const { isArgument } = helpOf(schema);
  if (isMissing && isArgument) throw mistake(`missing required argument '${name}'`);
  if (isMissing) throw mistake(`required option '${termOf(name, schema)}' not specified`);
  const shown =
    texts.length === 1 || index === undefined ? texts.join(',') : texts.join(',').split(',')[Number(index)];
  const message = `${isArgument ? name : flagName(name)} ${shown}: ${issue?.message}`;
  throw new SettingsError(message, { hint: 'correct it and start again' });
}

type Given = Record<string, string | string[] | boolean | undefined>;

function mistake(message: string): UsageError {
  return new UsageError(message, { hint: '' });
}

/** A mistake in the form of the command line; whoever knows the command says where its options are listed. */
export class UsageError extends SettingsError {}

/** Returns the texts of each option by its name, `true` for a switch. */
function readGiven(args: readonly string[], shape: Options): Given {
  const names = new Map(Object.keys(shape).map((name) => [flagName(name).slice(2), name]));
  const places = Object.keys(shape).filter((name) => helpOf(shape[name] as z.ZodType).isArgument);
  const declared = [...names].map(([long, name]) => {
    const isSwitch = helpOf(shape[name] as z.ZodType).value === null;
    return [long, { type: isSwitch ? 'boolean' : 'string', multiple: true }] as const;
  });
  const options = Object.fromEntries(declared);
  const { tokens } = parseArgs({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const given: Given = {};
  /** The option that the values before this one belong to, if it takes several. */
  let list: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      const name = list ?? places.shift();
      if (name === undefined) throw mistake(`'${token.value}' is too much: it belongs to no option`);
      give(given, name, token.value, shape);
      continue;
    }
    const name = names.get(token.name);
    const schema = name === undefined ? undefined : shape[name];
    if (name === undefined || schema === undefined) throw unknownOption(token.rawName, [...names.keys()]);
    const { value, isList } = helpOf(schema);
    const isEaten = token.inlineValue === false && token.value.startsWith('--');
    if (value !== null && (token.value === undefined || isEaten)) {
      throw mistake(`option '${termOf(name, schema)}' needs a value`);
    }
    if (value === null && token.value !== undefined)
      throw mistake(`option '${flagName(name)}' takes no value`);
    give(given, name, token.value ?? true, shape);
    list = isList ? name : undefined;
  }
  return given;
}

function give(given: Given, name: string, value: string | true, shape: Options): void {
  const before = given[name];
  const { isList } = helpOf(shape[name] as z.ZodType);
  if (value === true) given[name] = true;
  else if (isList) given[name] = [...(Array.isArray(before) ? before : []), value];
  else if (before === undefined) given[name] = value;
  else throw new SettingsError(`${flagName(name)} was given 2 times`, { hint: 'give it once' });
}

function unknownOption(raw: string, names: readonly string[]): UsageError {
  const near = nearestName(
    raw,
    names.map((name) => `--${name}`),
  );
  return mistake(`unknown option '${raw}'${near === null ? '' : `. Did you mean ${near}?`}`);
}
