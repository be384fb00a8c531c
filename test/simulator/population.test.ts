import { expect, it } from 'vitest';
import { createPopulation } from '../../simulator/population.ts';

/** More than are remembered. */
const MANY = 25_000;

it('computes the same organization again when it has been forgotten', () => {
  const population = createPopulation('1', MANY, false);
  const keys = population.all();
  const before = structuredClone(population.find(keys[0] ?? ''));
  let seen = 0;
  for (const org of population.each(keys)) if (org.key === keys[seen]) seen += 1;
  expect(seen).toBe(25_000);
  expect(structuredClone(population.find(keys[0] ?? ''))).toEqual(before);
});

it('keeps what was changed, added or deleted however many others are asked for', () => {
  const population = createPopulation('1', MANY, false);
  const [first = '', second = ''] = population.all();
  const firstOrg = population.find(first);
  const secondOrg = population.find(second);
  if (firstOrg === undefined || secondOrg === undefined) throw new Error('no organizations');
  population.change(firstOrg, { ...firstOrg.attributes, name: 'Renamed' });
  population.remove(secondOrg);
  const added = population.add({ id: 'ffffffffffffffffffffffff' }, 0);
  expect([...population.each(population.all())]).toHaveLength(25_001);
  expect(population.find(first)?.attributes.name).toBe('Renamed');
  expect(population.find(second)?.deleted).toBe(true);
  expect(population.living()).toHaveLength(25_000);
  expect(population.find('FFFFFFFFFFFFFFFFFFFFFFFF')?.number).toBe(added?.number);
});
