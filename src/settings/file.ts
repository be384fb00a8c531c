import { dirname } from 'node:path';
import { type ReadFile, readNamedFile } from './disk.ts';
import { nearestName, type Problem } from './problems.ts';
import type { Source } from './reader.ts';
import { INSTANCE_SETTINGS, SETTINGS, variablesOf } from './table.ts';
import { parseYaml } from './yaml.ts';

type Entries = Readonly<Record<string, unknown>>;

/** The settings file. Its keys are right, its values are as they were written. */
export interface SettingsFile {
  readonly path: string;
  /** False for a wrong file, which is as good as empty once its problems are reported. */
  readonly isRight: boolean;
  readonly top: Entries;
  readonly instances: readonly Entries[];
  /** Whether group or others may write it. */
  readonly isOpen: boolean;
}

/** The keys of the settings file by the variables that they stand for. */
export const FILE_KEYS = keysOf(SETTINGS);
const INSTANCE_KEYS = [...keysOf(INSTANCE_SETTINGS).values()];
const TOP_KEYS = ['instances', ...FILE_KEYS.values()].filter((key) => !INSTANCE_KEYS.includes(key));

/** The secrets that no instance's token may be read from: Losant would be told them. */
const OTHER_SECRETS = SETTINGS.filter((each) => each.isSecret && !INSTANCE_SETTINGS.includes(each)).map(
  ({ env }) => env,
);

function keysOf(settings: typeof SETTINGS): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const setting of settings.filter(({ file }) => file !== undefined)) {
    const endings = setting.isSecret ? ['Variable', 'File'] : [''];
    for (const [i, variable] of variablesOf(setting).entries())
      keys.set(variable, `${setting.file}${endings[i]}`);
  }
  return keys;
}

/** Reads the file that the setting `name` names. */
export function readSettingsFile(
  { name, path }: { readonly name: string; readonly path: string },
  readFile: ReadFile,
  problems: Problem[],
): SettingsFile {
  const before = problems.length;
  const wrongFile = { path, isRight: false, top: {}, instances: [], isOpen: false };
  const read = readNamedFile(path, readFile);
  if ('problem' in read) {
    problems.push({ name, value: path, ...read });
    return wrongFile;
  }
  const document = parseYaml(path, read.text, problems);
  if (problems.length > before) return wrongFile;
  const entries = checkDocument(document, (steps, problem, remedy = COMPARE) => {
    problems.push({ name: settingName(path, ...steps), problem, remedy });
  });
  if (problems.length > before) return wrongFile;
  return { path, isRight: true, ...entries, isOpen: ((read.mode ?? 0) & 0o022) !== 0 };
}

/** Reports what is wrong at the end of some steps into the file. */
type Wrong = (steps: readonly (string | number)[], problem: string, remedy?: string) => void;

const COMPARE = 'compare with deploy/losant-usage.example.yaml';

function checkDocument(document: unknown, wrong: Wrong): Pick<SettingsFile, 'top' | 'instances'> {
  const { instances = null, ...top } = checkMap(document, { keys: TOP_KEYS, steps: [] }, wrong);
  const list: readonly unknown[] = Array.isArray(instances) ? instances : [];
  if (isMap(document) && list !== instances) wrong(['instances'], 'is not a list');
  else if (isMap(document) && list.length === 0) wrong(['instances'], 'is empty', 'list at least one');
  const checked = list.map((instance, i) => {
    const steps = ['instances', i];
    const entries = checkMap(instance, { keys: INSTANCE_KEYS, steps }, wrong);
    checkToken(entries, steps, wrong);
    return entries;
  });
  return { top, instances: checked };
}

function isMap(value: unknown): value is Entries {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkMap(
  map: unknown,
  { keys, steps }: { readonly keys: readonly string[]; readonly steps: readonly (string | number)[] },
  wrong: Wrong,
): Entries {
  if (!isMap(map)) {
    wrong(steps, 'is not a map');
    return {};
  }
  for (const key of Object.keys(map).filter((each) => !keys.includes(each))) {
    const near = nearestName(key, keys);
    const remedy = near === null ? 'remove it' : `did you mean ${near}?`;
    if (key !== 'token') wrong([...steps, key], 'is not known', remedy);
  }
  return map;
}

/** A token is in the file or in the variable that is named there. */
function checkToken(instance: Entries, steps: readonly (string | number)[], wrong: Wrong): void {
  const { token, tokenFile, tokenVariable } = instance;
  if (token !== undefined) {
    const remedy = 'write it to a file and name that in tokenFile, or name a variable in tokenVariable';
    wrong([...steps, 'token'], 'is a secret and may not be in this file', remedy);
  }
  if (tokenFile !== undefined && tokenVariable !== undefined) {
    wrong(steps, 'has both tokenFile and tokenVariable', 'keep one of them');
  }
  const isName = typeof tokenVariable === 'string' && /^[A-Z_]\w*$/i.test(tokenVariable);
  if (tokenVariable === undefined || (isName && !OTHER_SECRETS.includes(tokenVariable))) return;
  const problem = 'is not the name of a variable for tokens';
  wrong([...steps, 'tokenVariable'], problem, 'use e.g. LOSANT_API_TOKEN_EU');
}

/** Where the settings of an instance are. */
export function instanceSource(
  { path, instances }: SettingsFile,
  index: number,
  environment: Source,
): Source {
  return (variable) => {
    const key = FILE_KEYS.get(variable) ?? '';
    const raw = instances[index]?.[key];
    const given = { name: settingName(path, 'instances', index, key), raw, folder: dirname(path) };
    if (!key.endsWith('Variable') || typeof raw !== 'string') return given;
    const named = environment(raw);
    return named.raw === undefined ? { name: `${given.name} (${raw})`, raw: undefined } : named;
  };
}

/** E.g. `/etc/usage.yaml: instances[0].orgs.tags`. */
export function settingName(file: string, ...path: readonly (string | number)[]): string {
  const steps = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step.slice(0, 60)}`));
  const inner = steps.join('').replace(/^\./, '');
  return inner === '' ? `${file} as a whole` : `${file}: ${inner}`;
}
