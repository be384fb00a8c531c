/** The settings that hold and where each comes from, for people. */
import type { Setting } from './table.ts';

/** A setting as `check` shows it. */
export interface Origin {
  /** The variable, also for a setting of the file. */
  readonly name: string;
  /** The value, or `set` and `not set` for a secret. */
  readonly value: string;
  /** `default`, `environment`, or the place in the settings file. */
  readonly from: string;
}

interface GivenSetting {
  readonly name: string;
  readonly raw: unknown;
  readonly isVariable?: true;
}

/** `originOf` returns where a setting comes from. `source` returns what is given for a variable. */
export function originOf(
  { env, fallback, isSecret }: Setting<unknown>,
  source: (variable: string) => GivenSetting,
): Origin {
  const given = [env, ...(isSecret ? [`${env}_FILE`] : [])]
    .map((variable) => source(variable))
    .find(({ raw }) => raw !== undefined && raw !== '');
  if (given === undefined)
    return { name: env, value: isSecret ? 'not set' : show(fallback), from: 'default' };
  const isFile = isSecret && given.name.endsWith('File');
  const isNamed = isSecret && (given.name === `${env}_FILE` || isFile);
  return {
    name: env,
    value: isNamed ? `in ${String(given.raw)}` : isSecret ? 'set' : show(given.raw),
    from: given.isVariable ? 'environment' : given.name,
  };
}

function show(value: unknown): string {
  if (value === undefined || value === null) return 'not set';
  return typeof value === 'string' ? value : Array.isArray(value) ? value.join(',') : JSON.stringify(value);
}
