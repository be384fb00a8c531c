/** What goes wrong on demand; kinds whose problem an end-to-end test asserts are not repeated. */
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

/** Makes all requests meet the fault. */
const breakBy = (kind: FaultKind, plan: Partial<FaultPlan> = {}) =>
  platform.control('config', { faults: { kinds: [kind], forever: true, ...plan } });

const deviceCounts = () => platform.get(`${large}/deviceCounts?${TWO_DAYS}`);

describe('a fault of a value', () => {
  it.each<[FaultKind, RegExp]>([
    ['rounded', /"(created|deleted|total)":\d+\.00000000000000000001[,}]/],
    ['near_zero', /"(created|deleted|total)":1e-400[,}]/],
    ['repeated_key', /"(created|deleted|total)":(\d+)[^}]*"\1":\2}/],
    ['unknown_keys', /"granularity":"day"/],
    ['outside_bucket', /"date":"2026-11-09T.*"date":"2026-11-10T.*"date":"2026-11-11T/],
    ['wrong_window', /"start":"2026-11-09T00:00:00.000Z","end":"2026-11-10T23:59:59.999Z"/],
  ])('%s is in the text', async (kind, pattern) => {
    await breakBy(kind);
    expect((await deviceCounts()).text).toMatch(pattern);
  });

  it('missing_bucket leaves out a day, of which the control routes tell', async () => {
    await breakBy('missing_bucket');
    const { counts } = (await deviceCounts()).body as Counts;
    expect(counts).toHaveLength(1);
    const day = counts[0]?.date.slice(0, 10) === '2026-11-10' ? '2026-11-11' : '2026-11-10';
    expect(await platform.control('faults?kind=missing_bucket')).toMatchObject({ faults: [{ day }] });
  });

  it('spoils a source of payloadCounts, and passes over what cannot be spoiled', async () => {
    await breakBy('repeated_key');
    const day = `payloadCounts?_links=false&${days('2026-11-10')}`;
    expect((await platform.get(`${large}/${day}`)).text).toMatch(/"([\w.-]+)":(\d+)[^}]*"\1":\2}/);
    const empty = await platform.get(`${await platform.orgWith('idle')}/${day}`);
    expect(empty.headers.get('x-simulated-fault')).toBeNull();
  });
});

describe('a plan of faults', () => {
  it('strikes the same requests in whatever order they come', async () => {
    const struck = async (faults: FaultPlan | FaultPlan[], steps: readonly number[]) => {
      await using few = await startPlatform({ orgs: 3, faults });
      const faulty: number[] = [];
      for (const step of steps) {
        if ((await few.get(`/deviceCounts?start=-${step}000`)).status === 503) faulty.push(step);
      }
      return new Set(faulty);
    };
    const plan: FaultPlan = { kinds: ['unavailable'], rate: 0.4 };
    const steps = Array.from({ length: 40 }, (_, step) => step);
    const faulty = await struck(plan, steps);
    expect(faulty.size).toBe(18);
    expect(await struck([plan], steps.toReversed())).toEqual(faulty);
  });

  it('lets the same request through after its bound, unless it is forever', async () => {
    const statuses = async () => {
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) seen.push((await platform.get('/orgs')).status);
      return seen;
    };
    await platform.control('config', { faults: { kinds: ['unavailable'], rate: 1, maxPerRequest: 2 } });
    expect(await statuses()).toEqual([503, 503, 200, 503, 503, 200]);
    await breakBy('unavailable');
    expect(await statuses()).toEqual([503, 503, 503, 503, 503, 503]);
  });
});
