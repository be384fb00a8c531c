import { describe, expect, it } from 'vitest';
import { compareFields, fieldsOf } from '../../src/cli/org.ts';
import { completePatch, readPatch, withPatch } from '../../src/cli/org-set.ts';
import { SettingsError } from '../../src/errors.ts';

/** What is wrong with a patch, a line each, without the title. */
function problemsOf(patch: unknown): string[] {
  try {
    readPatch(JSON.stringify(patch));
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
    expect(problemsOf(body)).toEqual(problems);
  });

  it.each([
    ['nothing', '', '--json is not a JSON object'],
    ['no JSON', '{', '--json is not a JSON object'],
    ['a list', '[]', '--json is not a JSON object'],
    ['an empty object', '{}', '--json changes nothing'],
  ])('is refused with %s', (_, json, message) => {
    expect(() => readPatch(json)).toThrow(message);
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

describe('what is sent', () => {
  it('keeps the limits that were not named, and nothing that Losant would not take', () => {
    expect(completePatch({ limits: { device: 5 } }, ACME)).toEqual({ limits: { device: 5, payload: 1_000 } });
  });

  it('is otherwise what was given', () => {
    const patch = { isReadOnly: true, tags: [{ key: 'region', value: 'mars' }] };
    expect(completePatch(patch, ACME)).toEqual(patch);
  });
});

describe('what changes', () => {
  it('is told field by field, old and new', () => {
    const patch = completePatch(
      { limits: { device: 5, member: 1 }, tags: [{ key: 'region', value: 'eu' }], disabledAt: false },
      ACME,
    );
    expect(compareFields(fieldsOf(ACME), fieldsOf(withPatch(ACME, patch)))).toEqual([
      { field: 'limits.device', old: '100', new: '5' },
      { field: 'tags.region', old: 'eu, us', new: 'eu' },
      { field: 'tags.tier', old: 'gold', new: null },
      { field: 'limits.member', old: null, new: '1' },
    ]);
  });

  it('is nothing for a date in another spelling', () => {
    const before = { ...ACME, disabledAt: '2026-01-01T00:00:00.000Z' };
    const after = { ...ACME, disabledAt: '2026-01-01T01:00:00+01:00' };
    expect(compareFields(fieldsOf(before), fieldsOf(after))).toEqual([]);
  });
});
