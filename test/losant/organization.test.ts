import { describe, expect, it } from 'vitest';
import { readOrganization } from '../../src/losant/organization.ts';
import { parseJson } from '../../src/usage/body.ts';

const ID = '5d0000000000000000000001';
const NOW = Date.parse('2026-11-24T12:00:00.000Z');

const read = (attributes: object) => readOrganization({ id: ID, name: 'Acme', ...attributes }, NOW);

/** Returns the reading; fails if the organization cannot be read. */
function readable(attributes: object) {
  const reading = read(attributes);
  if (!reading.ok) throw new Error(reading.problem);
  return reading;
}

it('has every attribute, times as UTC with milliseconds', () => {
  const tags = [
    { key: 'tier', value: 'gold' },
    { key: 'tier', value: 'old' },
  ];
  const reading = read({
    orgId: ID.toUpperCase(),
    instanceId: '5C0000000000000000000001',
    description: 'not kept',
    creationDate: '2025-03-01T10:00:00+02:00',
    tags,
    referralId: 'C-1001',
    planId: 'plan',
    customerId: 'cus_1',
    limits: { payload: 1000, device: 0, someday: null },
    disabledAt: '2026-11-01T00:00:00.000Z',
    currentPeriodStart: '2026-11-01T00:00:00.000Z',
    currentPeriodEnd: '2026-11-30T23:59:59.999Z',
  });
  const organization = {
    orgId: '5d0000000000000000000001',
    instanceId: '5c0000000000000000000001',
    name: 'Acme',
    tags,
    referralId: 'C-1001',
    planId: 'plan',
    customerId: 'cus_1',
    limits: { payload: 1000, device: 0 },
    currentPeriodStart: '2026-11-01T00:00:00.000Z',
    currentPeriodEnd: '2026-12-01T00:00:00.000Z',
    createdOn: '2025-03-01',
  };
  expect(reading).toEqual({ ok: true, organization });
});

it('needs no more than an id and a name', () => {
  expect(readable({ disabledAt: false, referralId: null }).organization).toEqual({
    orgId: '5d0000000000000000000001',
    instanceId: null,
    name: 'Acme',
    tags: [],
    referralId: null,
    planId: null,
    customerId: null,
    limits: {},
    currentPeriodStart: null,
    currentPeriodEnd: null,
    createdOn: null,
  });
});

describe('a date that is odd but valid never costs the organization', () => {
  it.each([
    ['9999-12-31T23:59:59.999Z', null],
    ['9999-12-31T23:59:59.000Z', '9999-12-31T23:59:59.000Z'],
    ['0000-01-01T00:00:00.000Z', null],
    ['0000-01-01T00:00:00.000+05:00', null],
    ['0001-01-01T00:00:00.000Z', '0001-01-01T00:00:00.000Z'],
    ['1969-12-31T23:59:59.999Z', '1970-01-01T00:00:00.000Z'],
    ['2026-12-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
  ])('a period that ends %s ends before %s', (currentPeriodEnd, end) => {
    expect(readable({ currentPeriodEnd }).organization.currentPeriodEnd).toBe(end);
  });

  it('nor does the year 0 elsewhere', () => {
    const year0 = '0000-06-01T00:00:00.000Z';
    const { organization } = readable({ creationDate: year0, currentPeriodStart: year0 });
    expect(organization).toMatchObject({ createdOn: null, currentPeriodStart: null });
  });
});

describe('a creation that is yet to come is none', () => {
  it.each([
    ['2026-11-24T12:05:00.000Z', '2026-11-24'],
    ['2026-11-24T12:05:00.001Z', null],
    ['2031-01-01T00:00:00.000Z', null],
    ['9999-12-31T23:59:59.999Z', null],
  ])('%s', (creationDate, createdOn) => {
    const { organization } = readable({ creationDate });
    expect(organization.createdOn).toBe(createdOn);
  });
});

describe('a tag that is no pair of texts', () => {
  it.each<[string, { key: string; value: string }[]]>([
    ['{"key":"n","value":5}', [{ key: 'n', value: '5' }]],
    ['{"key":"n","value":1.50}', [{ key: 'n', value: '1.5' }]],
    ['{"key":"n","value":9007199254740993}', [{ key: 'n', value: '9007199254740993' }]],
    ['{"key":7,"value":"v"}', [{ key: '7', value: 'v' }]],
    ['{"key":"n"}', []],
    ['{"key":"n","value":{}}', []],
    ['{"key":"n","value":"a","value":"b"}', []],
    ['null', []],
  ])('%s is made text or left out, and the others stay', (tag, read) => {
    const tags = parseJson(`[{"key":"a","value":"1"},${tag},{"key":"b","value":"2"}]`);
    const { organization } = readable({ tags });
    expect(organization.tags).toEqual([{ key: 'a', value: '1' }, ...read, { key: 'b', value: '2' }]);
  });
});

it('takes a number for a name, and counts it', () => {
  const { organization } = readable({ name: 17, referralId: 5, planId: true, customerId: null });
  expect(organization).toMatchObject({ name: '17', referralId: '5', planId: 'true', customerId: null });
});

describe('what cannot be read', () => {
  it.each([
    ['no name', { name: null }],
    ['a name that is a map', { name: {} }],
    ['tags that are no list', { tags: 'none' }],
    ['a creation that is no date', { creationDate: 'yesterday' }],
    ['a customer that is a list', { customerId: [] }],
  ])('is reported by its id: %s', (_, attributes) => {
    expect(read(attributes)).toMatchObject({ ok: false, orgId: ID });
  });

  it.each([null, undefined, 'text', 5, [], {}, { id: 'short', name: 'x' }, { id: 17, name: 'x' }])(
    'has no id: %j',
    (raw) => {
      expect(readOrganization(raw, NOW)).toMatchObject({ ok: false, orgId: null });
    },
  );
});
