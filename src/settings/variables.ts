import { FILE_KEYS, placeIn, type SettingsFile } from './file.ts';
import { nearestName, type Problem } from './problems.ts';
import type { Source } from './reader.ts';
import { INSTANCE_SETTINGS, SETTINGS, variablesOf } from './table.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const OF_INSTANCE = INSTANCE_SETTINGS.flatMap(variablesOf);
const VARIABLES = SETTINGS.flatMap(variablesOf);
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

export function environmentSource(env: Environment): Source {
  return (name) => ({ name, raw: env[name], isVariable: true });
}

/** Returns the source of settings at the top of the settings file or in the environment, but not both. */
export function topSource(env: Environment, file: SettingsFile | null): Source {
  const environment = environmentSource(env);
  return (variable) => {
    const key = FILE_KEYS.get(variable);
    if (file === null || key === undefined) return environment(variable);
    const name = placeIn(file.path, key);
    const raw = file.top[key];
    return raw === undefined && env[variable] !== undefined ? environment(variable) : { name, raw };
  };
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== '';
}

/** Reports unknown `LOSANT_*` variables, and variables whose setting is in the settings file. */
export function checkVariables(env: Environment, file: SettingsFile | null, problems: Problem[]): void {
  const named = file?.instances.flatMap((entries) => Object.values(entries)) ?? [];
  const free = Object.keys(env).filter((name) => !named.includes(name));
  for (const name of OF_INSTANCE.filter((each) => file !== null && free.includes(each) && isSet(env[each]))) {
    const remedy = `remove it and use ${FILE_KEYS.get(name)} there`;
    problems.push({ name, problem: 'is set, but instances are described by the settings file', remedy });
  }
  for (const name of VARIABLES.filter((each) => isSet(env[each]))) {
    const key = FILE_KEYS.get(name) ?? '';
    if (file?.top[key] === undefined) continue;
    const problem = `is set, but so is ${placeIn(file.path, key)}`;
    problems.push({ name, problem, remedy: 'keep one of them' });
  }
  // An invalid file leaves open which variables it names.
  if (file?.isRight === false) return;
  for (const name of free.filter((each) => each.startsWith('LOSANT_')).sort()) {
    // The value is not shown, because it may well be a token.
    if (!LOSANT_VARIABLES.includes(name))
      problems.push({ name, problem: 'is not a setting', remedy: guess(name) });
  }
}

function guess(name: string): string {
  const rest = name.slice('LOSANT_'.length);
  const near = VARIABLES.includes(rest) ? rest : nearestName(name, LOSANT_VARIABLES);
  return near === null ? `remove it; known are ${LOSANT_VARIABLES.join(', ')}` : `did you mean ${near}?`;
}
