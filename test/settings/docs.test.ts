/** docs/settings.md and .env.example come from the schema: `npm run schema` writes them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { getDefault, getSettingInfo, type SettingName, settingNames } from '../../src/settings/settings.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';

function isRequired(name: SettingName): boolean {
  const { neededBy } = getSettingInfo(name);
  return neededBy !== undefined && neededBy !== 'admin';
}

function renderRow(name: SettingName): string {
  const { description, example, isSecret } = getSettingInfo(name);
  const defaultText = getDefault(name);
  const code = (text: string) => `\`${text}\``;
  const fallback = defaultText === null ? (isRequired(name) ? 'required' : 'none') : code(defaultText);
  const variables = isSecret ? `${code(name)}, ${code(`${name}_FILE`)}` : code(name);
  return `| ${[variables, description, fallback, example && code(example)].join(' | ')} |`;
}

const HEAD = ['| setting | meaning | default | example |', '| --- | --- | --- | --- |'];

/** Each follows a marker with the names of its settings, and ends with an empty line. */
const MARKED_TABLES = /(<!-- settings: ([A-Z_, ]+) -->\n)\n?(?:\|.*\n)*\n*/g;

function renderDocs(text: string): string {
  return text.replaceAll(MARKED_TABLES, (_, marker: string, names: string) => {
    const rows = names.split(', ').map((name) => renderRow(name as SettingName));
    return `${marker}\n${[...HEAD, ...rows].join('\n')}\n\n`;
  });
}

function renderExample(): string {
  const lines = settingNames.flatMap((name) => {
    const { isSecret, example, description } = getSettingInfo(name);
    const value = example ?? getDefault(name) ?? '';
    const meaning = description.replaceAll('`', '').replaceAll(/\[(\w+)\]\([^)]*\)/g, '$1');
    const valueText = /[ *&?;$]/.test(value) ? `'${value}'` : value;
    const file = isSecret ? [`# ${name}_FILE=`] : [];
    return [`# ${meaning}`, `${isRequired(name) ? '' : '# '}${name}=${valueText}`, ...file, ''];
  });
  return [
    '# Settings of losant-usage. Copy this file to .env, fill in what is not commented out, and protect it (chmod 600).',
    '# Docker Compose, systemd, `node --env-file=.env bin/losant-usage.js run` and a shell (set -a; . ./.env; set +a)',
    '# can read it. docs/settings.md has the details.',
    '',
    ...lines,
  ].join('\n');
}

const path = 'docs/settings.md';
const text = readFileSync(path, 'utf8');

test('docs/settings.md has the tables of the schema: npm run schema', async () => {
  await expect(renderDocs(text)).toMatchFileSnapshot('../../docs/settings.md');
});

test('.env.example is a template of every setting: npm run schema', async () => {
  await expect(renderExample()).toMatchFileSnapshot('../../.env.example');
  expect(renderExample()).not.toContain('see below');
});

test('docs/settings.md names every setting in one marker of a table, and lists every stream', () => {
  const names = [...text.matchAll(MARKED_TABLES)].flatMap(([, , listed = '']) => listed.split(', '));
  expect(names.toSorted()).toEqual([...settingNames].toSorted());
  expect(streamNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
