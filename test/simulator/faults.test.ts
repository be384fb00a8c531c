/** Faults on demand. Kinds whose effect an end-to-end test asserts are not repeated here. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FaultKind, FaultPlan } from '../../simulator/faults.ts';
import { type Counts, days, startPlatform, usePlatform } from './platform.ts';

const TWO_DAYS = days('2026-11-10', '2026-11-11');

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});
beforeEach(async () => {
  await platform.control('config', { faults: null, list: null });
});

const applyFault = (kind: FaultKind) => platform.control('config', { faults: { kinds: [kind], forever: true } });

const deviceCounts = () => platform.get(`${large}/deviceCounts?${TWO_DAYS}`);

describe('a value fault', () => {
  it.each<[FaultKind, RegExp]>([
    ['rounded', /"(created|deleted|total)":\d+\.00000000000000000001[,}]/],
    ['near_zero', /"(created|deleted|total)":1e-400[,}]/],
    ['repeated_key', /"(created|deleted|total)":(\d+)[^}]*"\1":\2}/],
    ['unknown_keys', /"granularity":"day"/],
    ['outside_bucket', /"date":"2026-11-09T.*"date":"2026-11-10T.*"date":"2026-11-11T/],
    ['wrong_window', /"start":"2026-11-09T00:00:00.000Z","end":"2026-11-10T23:59:59.999Z"/],
  ])('%s is in the text', async (kind, pattern) => {
    await applyFault(kind);
    expect((await deviceCounts()).text).toMatch(pattern);
  });

  it('missing_bucket omits a day, which /control/faults reports', async () => {
    await applyFault('missing_bucket');
    const { counts } = (await deviceCounts()).body as Counts;
    expect(counts).toHaveLength(1);
    const day = counts[0]?.date.slice(0, 10) === '2026-11-10' ? '2026-11-11' : '2026-11-10';
    expect(await platform.control('faults?kind=missing_bucket')).toMatchObject({ faults: [{ day }] });
  });
});

it('a fault plan affects the same requests in any order', async () => {
  const findAffected = async (faults: FaultPlan | FaultPlan[], steps: readonly number[]) => {
    await using platform = await startPlatform({ orgs: 3, faults });
    const affected: number[] = [];
    for (const step of steps) {
      if ((await platform.get(`/deviceCounts?start=-${step}000`)).status === 503) affected.push(step);
    }
    return new Set(affected);
  };
  const plan: FaultPlan = { kinds: ['unavailable'], rate: 0.4 };
  const steps = Array.from({ length: 40 }, (_, step) => step);
  const affected = await findAffected(plan, steps);
  expect(affected.size).toBe(18);
  expect(await findAffected([plan], steps.toReversed())).toEqual(affected);
});
