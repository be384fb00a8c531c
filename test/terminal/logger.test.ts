import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { SettingsError } from '../../src/errors.ts';
import { createLogger } from '../../src/logger.ts';

const EVIL = 'evil\x1b[2J\x9b31m\u202eRED';

function logged(pretty: boolean): string {
  let text = '';
  const logger = createLogger({ level: 'info', pretty, destination: { write: (line) => (text += line) } });
  logger.warn({ name: EVIL, err: new SettingsError(EVIL, { hint: EVIL }) }, `about ${EVIL}`);
  return text;
}

test('a line of the log on a terminal holds no control character but its own colours', () => {
  const shown = stripVTControlCharacters(logged(true)).replaceAll('\n', '');
  expect(shown).not.toMatch(/[\p{Cc}\u202e]/u);
  expect(shown.match(/evil\\+x1b\[2J/g)).toHaveLength(4);
});

test('a JSON line holds them escaped, and means the same', () => {
  const line = logged(false);
  expect(line.trimEnd()).not.toMatch(/[\p{Cc}\u202e]/u);
  expect(JSON.parse(line)).toMatchObject({ name: EVIL, msg: `about ${EVIL}` });
});
