import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareFields, fieldsOf } from '../../src/cli/org.ts';
import { completePatch, type PatchOptions, readWanted, withPatch } from '../../src/cli/org-set.ts';
import { SettingsError } from '../../src/errors.ts';

const NOW = Date.parse('2026-11-25T12:00:00.000Z');

const NONE: PatchOptions = {
  name: null,
  description: null,
  referralId: null,
  limit: null,
  tag: null,
  disable: false,
  enable: false,
  auditLog: null,
  body: null,
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-org-patch-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function bodyFile(body: unknown): string {
  const path = join(folder, 'patch.json');
  writeFileSync(path, typeof body === 'string' ? body : JSON.stringify(body));
  return path;
}

/** What is wrong, a line each, without the title. */
function problemsOf(options: Partial<PatchOptions>): string[] {
  try {
    readWanted({ ...NONE, ...options }, NOW);
  } catch (error) {
    if (error instanceof SettingsError) return error.message.split('\n').slice(1);
    throw error;
  }
  return [];
}

describe('a patch that Losant would not take', () => {
  it.each<[unknown, string[]]>([
    [{ nam: 'x' }, ['- "nam" is not known; did you mean name?']],
    [{ colour: 'red' }, ['- "colour" is not known; remove it']],
    [
      { limits: { devise: 1, gold: 2 } },
      [
        '- "devise" is not known of limits; did you mean device?',
        '- "gold" is not known of limits; remove it',
      ],
    ],
    [{ limits: { device: -1 } }, ['- limits.device="-1" is not a whole number of 0 or more']],
    [{ limits: { device: 1.5 } }, ['- limits.device="1.5" is not a whole number of 0 or more']],
    [{ limits: { device: '5' } }, ['- limits.device="5" is not a whole number of 0 or more']],
    [{ limits: { dataTTL: 60 } }, ['- limits.dataTTL="60" is not a whole number of 86400 or more']],
    [{ limits: { systemInterval: 4 } }, ['- limits.systemInterval="4" is not a whole number from 5 to 3600']],
    [{ limits: 5 }, ['- limits="5" is not a map of limits']],
    [{ disabledAt: true }, ['- disabledAt="true" is neither false nor a date such as 2026-11-25T00:00:00Z']],
    [
      { disabledAt: '2026-02-30' },
      ['- disabledAt="2026-02-30" is neither false nor a date such as 2026-11-25T00:00:00Z'],
    ],
    [
      { tags: [{ key: 'a b', value: '', extra: 1 }] },
      [
        '- tags[0].key="a b" is not made of 1 to 255 letters, digits, _ and -',
        '- tags[0].value="" has not 1 to 255 characters',
        '- "extra" is not known of tags[0]; remove it',
      ],
    ],
    [{ tags: { region: 'eu' } }, ['- tags is not a list of tags']],
    [
      { name: '', mfaMode: 'never' },
      [
        '- name="" has not 1 to 255 characters',
        '- mfaMode="never" is none of notRequired, adminRequired, required',
      ],
    ],
  ])('%j is refused by name, before anything is sent', (body, problems) => {
    expect(problemsOf({ body: bodyFile(body) })).toEqual(problems);
  });

  it('is refused among the options as well', () => {
    expect(problemsOf({ limit: { devices: 5 }, name: '' })).toEqual([
      '- name="" has not 1 to 255 characters',
      '- "devices" is not known of limits; did you mean device?',
    ]);
    expect(problemsOf({ tag: [{ key: 'a.b', value: 'x' }] })).toEqual([
      '- tags[0].key="a.b" is not made of 1 to 255 letters, digits, _ and -',
    ]);
  });

  it.each<[string, Partial<PatchOptions>, unknown, string]>([
    ['nothing', {}, undefined, 'Nothing to set was given'],
    ['an empty body', {}, {}, 'Nothing to set was given'],
    ['no JSON', {}, '{', 'names a file without a JSON object'],
    ['a list', {}, [], 'names a file without a JSON object'],
    ['a name in both places', { name: 'x' }, { name: 'y' }, 'name: in '],
    ['both states', { disable: true, enable: true }, undefined, '--disable and --enable contradict'],
  ])('is refused with %s', (_, options, body, message) => {
    const all = { ...NONE, ...options, ...(body === undefined ? {} : { body: bodyFile(body) }) };
    expect(() => readWanted(all, NOW)).toThrow(message);
  });

  it('is refused where its file is not there', () => {
    expect(() => readWanted({ ...NONE, body: join(folder, 'none.json') }, NOW)).toThrow(
      'names a file that cannot be read: it does not exist',
    );
  });
});

const ACME = {
  id: '2'.repeat(24),
  name: 'Acme',
  limits: { device: 100, payload: 1_000, unheardOf: 3 },
  tags: [
    { key: 'region', value: 'eu' },
    { key: 'region', value: 'us' },
    { key: 'tier', value: 'gold' },
  ],
  disabledAt: false,
  auditLogEnabled: false,
};

const complete = (options: Partial<PatchOptions>, resource: Record<string, unknown> = ACME) =>
  completePatch(readWanted({ ...NONE, ...options }, NOW), resource);

describe('what is sent', () => {
  it('keeps the limits that were not named', () => {
    expect(complete({ limit: { device: 5 } })).toEqual({ limits: { device: 5, payload: 1_000 } });
  });

  it('sets a tag in place of all with its key, and keeps the others', () => {
    expect(complete({ tag: [{ key: 'region', value: 'mars' }] }).tags).toEqual([
      { key: 'tier', value: 'gold' },
      { key: 'region', value: 'mars' },
    ]);
    const odd = { ...ACME, tags: [{ key: 'n', value: 5 }] };
    expect(() => complete({ tag: [{ key: 'a', value: 'b' }] }, odd)).toThrow('would lose them');
  });

  it('disables from now on, unless it is disabled already, and takes the rest from a body', () => {
    const body = bodyFile({ isReadOnly: true, tags: [] });
    expect(complete({ disable: true, body })).toEqual({
      disabledAt: '2026-11-25T12:00:00.000Z',
      isReadOnly: true,
      tags: [],
    });
    expect(complete({ disable: true }, { ...ACME, disabledAt: '2026-01-01T00:00:00.000Z' })).toEqual({});
    expect(complete({ enable: true, auditLog: true })).toEqual({ disabledAt: false, auditLogEnabled: true });
  });
});

describe('what changes', () => {
  it('is told field by field, old and new', () => {
    const patch = complete({
      limit: { device: 5, member: 1 },
      tag: [{ key: 'region', value: 'eu' }],
      enable: true,
    });
    expect(compareFields(fieldsOf(ACME), fieldsOf(withPatch(ACME, patch)))).toEqual([
      { field: 'limits.device', old: '100', new: '5' },
      { field: 'tags.region', old: 'eu, us', new: 'eu' },
      { field: 'limits.member', old: null, new: '1' },
    ]);
  });

  it('is nothing for a date in another spelling', () => {
    const before = { ...ACME, disabledAt: '2026-01-01T00:00:00.000Z' };
    const after = { ...ACME, disabledAt: '2026-01-01T01:00:00+01:00' };
    expect(compareFields(fieldsOf(before), fieldsOf(after))).toEqual([]);
  });
});
