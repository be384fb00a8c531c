/** Each way in which a setting can be wrong, with the message: `wrong.txt` has them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ENOUGH, type Env, ONE, secretsFolder } from './settings.ts';

interface Wrong {
  readonly what: string;
  readonly env: Env;
  readonly file: string | undefined;
  readonly message: readonly string[];
}

const cases = readFileSync(`${import.meta.dirname}/wrong.txt`, 'utf8')
  .trimEnd()
  .split(/\n(?=\S)/)
  .filter((text) => !text.startsWith('#'))
  .map((text): Wrong => {
    const [what = '', ...rest] = text.split('\n').map((line, index) => (index === 0 ? line : line.slice(2)));
    const following = (mark: string) =>
      rest.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length).replace(/^ /, ''));
    const variables = rest.filter((line) => /^[A-Z_]+(=|$)/.test(line));
    const env = Object.fromEntries(
      variables.map((line) => {
        return [line.replace(/=.*/, ''), /=(.*)/.exec(line)?.[1]];
      }),
    );
    const lines = following('|');
    const begun = lines.map((line) => (line === 'ONE' ? ONE.trimEnd() : line)).join('\n');
    return { what, env, file: lines.length === 0 ? undefined : begun, message: following('-') };
  });

const settings = secretsFolder();

test.each(cases)('$what is refused', ({ env, file, message }) => {
  expect(message).not.toEqual([]);
  expect(settings.refusal(file === undefined ? { ...ENOUGH, ...env } : env, file)).toEqual(message);
});
