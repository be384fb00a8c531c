/** Variables that are most likely meant as a setting and have no effect. */
import { nearestName } from './problems.ts';
import { SETTINGS, variablesOf } from './table.ts';

const VARIABLES = SETTINGS.flatMap(variablesOf);

/**
 * `warnOfMisspelt` returns a warning for each variable that is one slip away from a setting: a character too many, too
 * few or another one, or two that changed places. Variables of other programs rarely are. Those that begin with
 * `LOSANT_` are refused elsewhere.
 */
export function warnOfMisspelt(env: Readonly<Record<string, string | undefined>>): string[] {
  const given = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return given.toSorted().flatMap((name) => {
    const meant = nearestName(name, VARIABLES, 1);
    return meant === null ? [] : [`${name} is not a setting and has no effect; did you mean ${meant}?`];
  });
}
