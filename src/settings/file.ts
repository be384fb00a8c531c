import { type Document, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { Problem } from './problems.ts';
import { nearestName } from './problems.ts';
import { describeFileError, type FileContent, type ReadFile } from './secrets.ts';

const text = z.string();
const list = z.array(text);
const orgRules = z.strictObject({ names: list.optional(), tags: list.optional(), exclude: list.optional() });

const instance = z.strictObject({
  id: text.optional(),
  apiUrl: text.optional(),
  tokenFile: text.optional(),
  tokenVariable: text.optional(),
  domain: text.optional(),
  orgs: z.union([text, list, orgRules]).optional(),
  streams: list.optional(),
  requestsPerSecond: text.optional(),
  requestConcurrency: text.optional(),
});

const settings = z.strictObject({
  instances: z.array(instance).min(1),
  schedule: text.optional(),
  readAtHours: list.optional(),
  finalAtHours: text.optional(),
  horizonDays: text.optional(),
});

/** The settings file as written: its shape is right, its values are still text. */
export type FileSettings = z.output<typeof settings>;
export type FileInstance = FileSettings['instances'][number];

export interface FileReading {
  /** Null for a wrong file, whose problems were reported. */
  readonly settings: FileSettings | null;
  /** What the operator should know, though the settings can be used. */
  readonly warning: string | null;
}

const KEYS = [...Object.keys(settings.shape), ...Object.keys(instance.shape), ...Object.keys(orgRules.shape)];

/** Reads the file that the setting `name` names. */
export function readSettingsFile(
  name: string,
  options: { readonly path: string; readonly readFile: ReadFile },
  problems: Problem[],
): FileReading {
  const { path } = options;
  const nothing = { settings: null, warning: null };
  if (path.trim() === '') {
    problems.push({ name, problem: 'is empty', remedy: 'give the path of a settings file' });
    return nothing;
  }
  const content = readContent(name, options, problems);
  if (content === null) return nothing;
  const writable = content.mode !== null && (content.mode & 0o022) !== 0;
  const warning = `${path} can be written by other users, who could send tokens elsewhere; run: chmod go-w ${path}`;
  return { settings: parseSettings(path, content.text, problems), warning: writable ? warning : null };
}

function readContent(
  name: string,
  { path, readFile }: { readonly path: string; readonly readFile: ReadFile },
  problems: Problem[],
): FileContent | null {
  try {
    return readFile(path);
  } catch (error) {
    const remedy = 'correct the path, or let this user read the file';
    problems.push({ name, value: path, problem: describeFileError(error), remedy });
    return null;
  }
}

/** Only texts, lists and maps are made of the YAML: nothing turns an id into a number. */
function parseSettings(path: string, yaml: string, problems: Problem[]): FileSettings | null {
  const lineCounter = new LineCounter();
  // Its own messages quote the file, which may hold a secret by mistake: only codes and places are shown.
  const document = parseDocument(yaml, { schema: 'failsafe', prettyErrors: false, lineCounter });
  const mistakes = [...document.errors, ...document.warnings];
  for (const { code, pos } of mistakes) {
    const { line, col } = lineCounter.linePos(pos[0]);
    const problem = `is not plain YAML (${code.toLowerCase().replaceAll('_', ' ')})`;
    problems.push({ name: `${path}:${line}:${col}`, problem, remedy: 'correct the file there' });
  }
  if (mistakes.length > 0) return null;
  const plain = toPlain(document);
  if (plain === undefined) {
    const remedy = 'define each anchor before its alias, or write the value out';
    problems.push({ name: path, problem: 'has an alias (*) that cannot be followed', remedy });
    return null;
  }
  const checked = settings.safeParse(plain);
  if (checked.success) return checked.data;
  problems.push(...checked.error.issues.flatMap((issue) => describeIssue(path, issue)));
  return null;
}

/** Undefined when an alias leads nowhere, or aliases multiply beyond measure. */
function toPlain(document: Document): unknown {
  try {
    return document.toJS();
  } catch (error) {
    if (error instanceof ReferenceError) return undefined;
    throw error;
  }
}

type Issue = z.core.$ZodIssue;

const EXPECTED: Readonly<Record<string, string>> = { string: 'a text', array: 'a list', object: 'a map' };

function describeIssue(path: string, issue: Issue): Problem[] {
  const name = settingName(path, issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => describeUnknownKey(settingName(path, [...issue.path, key]), key));
  }
  if (issue.code === 'invalid_union') {
    // The branch that the value took is the one whose problem lies inside it.
    const branch = issue.errors.find((issues) => issues.every((inner) => inner.path.length > 0));
    const inner = branch?.map((each) => ({ ...each, path: [...issue.path, ...each.path] })) ?? [];
    if (inner.length > 0) return inner.flatMap((each) => describeIssue(path, each));
    return [{ name, problem: 'has the wrong shape', remedy: 'use a text, a list of texts or a map' }];
  }
  if (issue.code === 'too_small') return [{ name, problem: 'is empty', remedy: 'list at least one' }];
  const expected =
    issue.code === 'invalid_type' ? (EXPECTED[issue.expected] ?? issue.expected) : 'another value';
  return [{ name, problem: `is not ${expected}`, remedy: 'compare with deploy/losant-usage.example.yaml' }];
}

function describeUnknownKey(name: string, key: string): Problem {
  if (key === 'token') {
    const remedy = 'write it to a file and name that in tokenFile, or name a variable in tokenVariable';
    return { name, problem: 'is a secret and may not be in this file', remedy };
  }
  const near = nearestName(key, KEYS);
  const remedy = near === null ? 'remove it' : `did you mean ${near}?`;
  return { name, problem: 'is not known', remedy };
}

/** E.g. `/etc/usage.yaml: instances[0].orgs.tags`. */
export function settingName(file: string, path: readonly PropertyKey[]): string {
  const steps = path.map((step) =>
    typeof step === 'number' ? `[${step}]` : `.${String(step).slice(0, 60)}`,
  );
  const inner = steps.join('').replace(/^\./, '');
  return inner === '' ? `${file} as a whole` : `${file}: ${inner}`;
}
