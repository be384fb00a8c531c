import { streamNames } from '../usage/streams/catalog.ts';
import type { Problem, Setting } from './problems.ts';
import { nearestName } from './problems.ts';

/**
 * Readers of one setting each. They return null for a setting that is not
 * given, and for a wrong one after adding it to `problems`.
 */
export interface NumberRule {
  readonly min: number;
  readonly max: number;
  /** Whether a fraction is fine. */
  readonly fraction?: boolean;
  readonly remedy: string;
}

/** What an id looks like: https://docs.losant.com/rest-api/instance-org */
const ID = /^[0-9a-f]{24}$/;

/** A host name of this machine, as a URL writes it. */
export const LOOPBACK = /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/;

export function readNumber(setting: Setting, rule: NumberRule, problems: Problem[]): number | null {
  const text = setting.text?.trim() ?? '';
  if (text === '') return null;
  const { min, max, fraction = false, remedy } = rule;
  const number = Number(text);
  const isNumber = (fraction ? /^\d{1,9}(\.\d{1,9})?$/ : /^\d{1,9}$/).test(text);
  if (isNumber && number >= min && number <= max) return number;
  const kind = fraction ? 'number' : 'whole number';
  problems.push({
    name: setting.name,
    value: text,
    problem: `is not a ${kind} from ${min} to ${max}`,
    remedy,
  });
  return null;
}

export function readChoice<T extends string>(
  setting: Setting,
  choices: readonly T[],
  problems: Problem[],
): T | null {
  const text = setting.text?.trim() ?? '';
  if (text === '') return null;
  const choice = choices.find((each) => each === text);
  if (choice !== undefined) return choice;
  const remedy = `use ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
  problems.push({ name: setting.name, value: text, problem: 'is not known', remedy });
  return null;
}

/** An id in lower case. Unlike most settings it may not be empty. */
export function readId(setting: Setting, what: string, problems: Problem[]): string | null {
  const value = setting.text?.trim();
  const remedy = `copy the 24 hex characters of the ${what} from its address in Losant`;
  const { name } = setting;
  if (value === undefined) problems.push({ name, problem: 'is not set', remedy });
  else if (value === '') problems.push({ name, problem: 'is empty', remedy });
  else if (ID.test(value.toLowerCase())) return value.toLowerCase();
  else problems.push({ name, value, problem: `is not an ${what} id`, remedy });
  return null;
}

export function isId(text: string): boolean {
  return ID.test(text.toLowerCase());
}

/** The entries of a comma list; a wrong list is reported and null. An empty one is wrong. */
export function readList({ name, text }: Setting, remedy: string, problems: Problem[]): string[] | null {
  if (text === undefined) return null;
  const entries = text.split(',').map((entry) => entry.trim());
  if (text.trim() === '') problems.push({ name, problem: 'is empty', remedy });
  else if (entries.includes('')) problems.push({ name, value: text, problem: 'has an empty entry', remedy });
  else return entries;
  return null;
}

/** The first entry that is there twice. */
export function firstDuplicate(entries: readonly string[]): string | undefined {
  return entries.find((entry, i) => entries.indexOf(entry) !== i);
}

/** Stream names in the order of the catalog. */
export function readStreams(setting: Setting, problems: Problem[]): string[] | null {
  const known = streamNames.join(', ');
  const entries = readList(setting, `name at least one of ${known}`, problems);
  if (entries === null) return null;
  const wrong = (value: string, problem: string, remedy: string) => {
    problems.push({ name: setting.name, value, problem, remedy });
  };
  for (const entry of new Set(entries)) {
    if (streamNames.includes(entry)) continue;
    const near = nearestName(entry, streamNames);
    wrong(entry, 'is not a stream', near === null ? `use any of ${known}` : `did you mean ${near}?`);
  }
  const twice = firstDuplicate(entries);
  if (twice !== undefined) wrong(twice, 'is named twice', 'name each stream once');
  return streamNames.filter((name) => entries.includes(name));
}

/** The base URL of an API without a trailing slash. */
export function readApiUrl(setting: Setting, problems: Problem[]): string | null {
  const text = setting.text?.trim() ?? '';
  if (text === '') return null;
  const wrong = (problem: string, remedy: string) => {
    problems.push({ name: setting.name, value: withoutSecrets(text), problem, remedy });
    return null;
  };
  const example = 'https://api.losant.com';
  if (!URL.canParse(text)) return wrong('is not a URL', `use e.g. ${example}`);
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return wrong('is neither https nor http', `use e.g. ${example}`);
  }
  if (url.username !== '' || url.password !== '') {
    return wrong('has a user name or password in it', 'remove them: the token is enough');
  }
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) {
    return wrong('has a query or fragment', 'end the URL before the ? or #');
  }
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) {
    return wrong('would send the token unencrypted', 'use https; plain http is only for this machine');
  }
  return url.href.replace(/\/+$/, '');
}

/** A URL for messages, without the parts that may hold a password or token. */
function withoutSecrets(url: string): string {
  return url.replace(/[?#].*$/s, '?…').replace(/^([^/]*\/\/)?.*@/s, '$1…@');
}

/** A host name, with a port where `port` says so. */
export function readHost(
  setting: Setting,
  options: { readonly port: boolean; readonly remedy: string },
  problems: Problem[],
): string | null {
  const text = setting.text?.trim() ?? '';
  if (text === '') return null;
  const { port, remedy } = options;
  const name = port ? /^[a-z\d_]([a-z\d._-]*[a-z\d])?(:\d{1,5})?$/i : /^[a-z\d_]([a-z\d._-]*[a-z\d])?$/i;
  const isAddress = /^[\da-f]*:[\da-f:.]*$/i.test(text) && !port;
  if (name.test(text) || isAddress) return text;
  problems.push({ name: setting.name, value: withoutSecrets(text), problem: 'is not a host name', remedy });
  return null;
}
