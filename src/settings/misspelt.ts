/** Variables that are most likely meant as a setting and have no effect. */
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
    const meant = VARIABLES.find((each) => isOneSlip(name, each));
    return meant === undefined ? [] : [`${name} is not a setting and has no effect; did you mean ${meant}?`];
  });
}

function isOneSlip(name: string, meant: string): boolean {
  if (Math.abs(name.length - meant.length) > 1) return false;
  let start = 0;
  while (start < name.length && name[start] === meant[start]) start += 1;
  const [rest, wanted] = [name.slice(start), meant.slice(start)];
  const isSwapped = rest[0] === wanted[1] && rest[1] === wanted[0] && rest.slice(2) === wanted.slice(2);
  return (
    rest.slice(1) === wanted.slice(1) || rest.slice(1) === wanted || rest === wanted.slice(1) || isSwapped
  );
}
