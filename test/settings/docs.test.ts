import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SETTINGS } from '../../src/settings/table.ts';
import { streamNames, usualStreamNames } from '../../src/usage/streams/catalog.ts';

const text = readFileSync('docs/settings.md', 'utf8');

/** The rows of the tables that describe variables: the names in the first cell, and all cells by their titles. */
const rows = text.split(/\n\n/).flatMap((part) => {
  const [head = '', , ...lines] = part.split('\n').filter((line) => line.startsWith('|'));
  const titles = cellsOf(head);
  if (titles[0] !== 'setting') return [];
  return lines.map((line) => Object.fromEntries(cellsOf(line).map((cell, i) => [titles[i] ?? '', cell])));
});

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** What the documentation says where nothing is set. */
function describeDefault(fallback: unknown): string {
  if (fallback === undefined) return 'required';
  if (fallback === null) return 'none';
  if (fallback === usualStreamNames) return 'all but `payload_hours`';
  if (typeof fallback === 'object' && 'kind' in fallback) return '`all`';
  return `\`${JSON.stringify(fallback).replaceAll(/["[\]]/g, '')}\``;
}

test('docs/settings.md describes every setting once, and nothing else', () => {
  const described = rows.map(({ setting = '' }) => setting.replaceAll('`', ''));
  expect(described.toSorted()).toEqual(SETTINGS.map(({ env }) => env).toSorted());
});

describe.each(SETTINGS.map((setting) => [setting.env, setting] as const))('%s', (env, setting) => {
  const row = rows.find((each) => each['setting'] === `\`${env}\``);

  test('is documented with its default', () => {
    expect(row?.['default']?.split(' ')[0]).toBe(describeDefault(setting.fallback).split(' ')[0]);
  });

  test('is named where its key of the settings file is described, or its file', () => {
    const { file, isSecret } = setting;
    if (isSecret) expect(text).toMatch(new RegExp(`^These can also be read from a file.*\`${env}\``, 'm'));
    const keys = file === undefined ? [] : isSecret ? [`${file}File`, `${file}Variable`] : [file];
    expect(keys.filter((key) => !text.includes(`\`${key}\``))).toEqual([]);
  });
});

test('docs/settings.md names every stream', () => {
  expect(streamNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
