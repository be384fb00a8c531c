/** A command declares its options as a shape of these schemas; types, help and errors come from it. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { choice, describeValueProblem, idText, line, list } from '../settings/kinds.ts';
import { formatTable } from '../terminal/text.ts';
import { findNearestName } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, FIRST_DAY, LAST_DAY, parseDay, parseMonth } from '../usage/day.ts';
import { streamNames } from '../usage/streams/catalog.ts';

export type Options = Readonly<Record<string, z.ZodType>>;
export type OptionValues<O extends Options> = z.output<z.ZodObject<O>>;

/** The help of an option. Its name is the key under which it is declared, in kebab case. */
interface Help {
  /** The placeholder of its value; null for a switch. */
  readonly value: string | null;
  readonly summary: string;
  /** Whether it takes several values, repeated or comma-separated. */
  readonly isList?: boolean;
}

const helps = z.registry<Help>();

type Kind<T> = z.ZodType<T, string>;

/** The texts of an option, one per occurrence; '' for a switch. */
const texts = z.array(z.string());
const singleText = texts.max(1, 'can be given only once').transform(([value = '']) => value);

export function flagOption(summary: string) {
  const isPresent = texts.transform(() => true);
  return isPresent.default(false).register(helps, { value: null, summary });
}

export function requiredOption<T>(value: string, summary: string, kind: Kind<T>) {
  return singleText.pipe(kind).register(helps, { value, summary: `${summary} (required)` });
}

/** An option that is null if omitted; `defaultText` is the default that help shows. */
export function optionalOption<T>(value: string, summary: string, kind: Kind<T>, defaultText?: string) {
  const description = defaultText === undefined ? summary : `${summary} (default: ${defaultText})`;
  return singleText.pipe(kind).nullable().default(null).register(helps, { value, summary: description });
}

/** An option that takes several values; null if omitted. */
function listOption<T>(value: string, summary: string, kind: Kind<T>) {
  const values = listOf(kind);
  const help = { value: `${value}...`, summary: `${summary} (repeatable, or comma-separated)`, isList: true };
  return values.nullable().default(null).register(helps, help);
}

function listOf<T>(kind: Kind<T>) {
  return texts.transform((all) => all.join(',')).pipe(list(kind));
}

export const text = z.string();

export const folder = text.refine((value) => value !== '', 'is empty; give a folder');

/** A reason for the record. A placeholder of a printed command is not a reason. */
export const reason = line.refine(
  (value) => !['', 'TEXT', 'REASON'].includes(value.replaceAll(/\P{L}/gu, '').toUpperCase()),
  'is not a reason; say why, for whoever bills',
);

export const day = line.refine(
  (value) => parseDay(value) !== null,
  `is not a day from ${FIRST_DAY} to ${LAST_DAY}; use YYYY-MM-DD`,
);

/** A day, or the first and the last day of a range with `..` between them. */
export const days = line.transform((input, context): DayRange => {
  const [from, to = from, ...extraDays] = input.split('..').map((each) => day.safeParse(each).data);
  if (from !== undefined && to !== undefined && extraDays.length === 0 && from <= to) return { from, to };
  context.addIssue('is not a day or an ordered range; use YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD');
  return z.NEVER;
});

export const month = line.refine(
  (value) => parseMonth(value) !== null,
  'is not a month from 2015-01 to 2049-12; use YYYY-MM',
);

export const orgOption = requiredOption('ID', 'the organization', idText('organization'));
export const orgsOption = listOf(idText('organization')).register(helps, {
  value: 'ID...',
  summary: 'the organizations (required; repeatable, or comma-separated)',
  isList: true,
});
export const streamsOption = listOption('NAME', 'only these streams', choice(streamNames));

/** The options that `run` and `backfill` share. */
export const selectionOptions = {
  org: listOption('ID', 'only these organizations', idText('organization')),
  stream: streamsOption,
  dryRun: flagOption('print the plan and change nothing'),
};

/** Throws SettingsError unless the days have ended and are in order; `first` and `last` name their options. */
export function requireEndedDays({ from, to }: DayRange, [first, last]: readonly [string, string], nowMs: number) {
  const today = dayAt(nowMs);
  if (from >= today || to >= today) {
    const unended = from >= today ? `${first} ${from}` : `${last} ${to}`;
    throw new SettingsError(`${unended} has not ended yet (UTC)`, {
      hint: `the latest day that can be read is ${addDays(today, -1)}`,
    });
  }
  requireOrder({ from, to }, [first, last]);
}

export function requireOrder({ from, to }: DayRange, [first, last]: readonly [string, string]): void {
  if (from <= to) return;
  throw new SettingsError(`${first} ${from} is later than ${last} ${to}`, {
    hint: 'put the earlier day first; both days are included',
  });
}

export const commonOptions = { json: flagOption('print one JSON document instead of text') };

/** An option by the key under which it is declared, with its name on the command line and its term in the help. */
type Option = ReturnType<typeof listOptions>[number];

function listOptions(shape: Options) {
  return Object.entries(shape).map(([key, schema]) => {
    const help = helps.get(schema) as Help;
    const name = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const value = help.value === null ? '' : ` <${help.value}>`;
    return { key, name, term: `--${name}${value}`, ...help };
  });
}

export function renderUsage(command: string, summary: string, shape: Options): string[] {
  const options = listOptions(shape);
  return [
    `Usage: losant-usage ${command} [options]`,
    '',
    summary,
    '',
    'Options:',
    ...formatTable({ rows: options.map(({ term, summary: text }) => [term, text]) }),
  ];
}

/** Throws SettingsError with the first mistake in the options of a command. */
export function readOptions<O extends Options>(command: string, args: readonly string[], shape: O): OptionValues<O> {
  const options = listOptions(shape);
  const toError: ToError = (message) => {
    return new SettingsError(message, { hint: `losant-usage ${command} --help lists its options` });
  };
  const values = readValues(args, options, toError);
  const parsed = z.object(shape).safeParse(values, { reportInput: true });
  if (parsed.success) return parsed.data;
  const { path = [], input, message = '' } = parsed.error.issues[0] ?? {};
  const { key, term } = options.find((option) => option.key === path[0]) as Option;
  if (values[key] === undefined) throw toError(`${term} is required`);
  const printable = typeof input === 'string' || typeof input === 'number' ? `${input}` : null;
  throw toError(describeValueProblem(term.replace(/ .*/, ''), printable, message));
}

type ToError = (message: string) => SettingsError;

function readValues(args: readonly string[], options: readonly Option[], toError: ToError): Record<string, string[]> {
  const values: Record<string, string[]> = {};
  /** The option of the values before, if it takes several. */
  let list: Option | undefined;
  for (const token of parseTokens(args, options, toError)) {
    if (token.kind === 'option-terminator') continue;
    const isOption = token.kind === 'option';
    const option = isOption ? options.find(({ name }) => name === token.name) : list;
    if (option === undefined) throw toError(`unexpected argument '${token.value}'`);
    (values[option.key] ??= []).push(token.value ?? '');
    if (isOption) list = option.isList === true ? option : undefined;
  }
  return values;
}

function parseTokens(args: readonly string[], options: readonly Option[], toError: ToError) {
  const types = options.map(({ name, value }) => {
    return [name, { type: value === null ? ('boolean' as const) : ('string' as const), multiple: true }] as const;
  });
  try {
    return parseArgs({ args, options: Object.fromEntries(types), allowPositionals: true, tokens: true }).tokens;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const [, unknown] = /^Unknown option '(.*?)'/.exec(error.message) ?? [];
    if (unknown === undefined) throw toError(error.message.replaceAll('\n', ' '));
    const name = unknown.replace(/^--?/, '');
    const names = options.map((option) => option.name);
    // One slip in a name as short as --all is not too many.
    const maxTypos = Math.max(1, name.length / 3);
    // Only `run` and `backfill` can wait; people look for the others in `run`.
    const otherNames = names.includes('wait') ? ['from', 'to', 'force'] : [];
    const nearest = findNearestName(name, [...names, ...otherNames], maxTypos);
    let advice = nearest === null ? '' : `. Did you mean --${nearest}?`;
    if (nearest !== null && !names.includes(nearest)) advice = `; losant-usage backfill has --${nearest}`;
    throw toError(`unknown option '${unknown}'${advice}`);
  }
}
