/** The checker itself: in copies of the program that are wrong in one point each, it finds what that leads to. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { readDuePage } from '../../../src/ledger/due.ts';
import type { addDays } from '../../../src/ledger/fill.ts';
import { type Applied, type apply, type Situation, zerosOf } from '../../../src/usage/apply.ts';
import { streamNamed } from '../../../src/usage/streams/catalog.ts';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { queryOnce } from '../../support/databases.ts';
import { countFrom } from './dice.ts';

type Rules = Readonly<Record<string, unknown>>;

const MODULES = {
  answer: '../../../src/losant/answer.ts',
  apply: '../../../src/usage/apply.ts',
  due: '../../../src/ledger/due.ts',
  fill: '../../../src/ledger/fill.ts',
  numbers: '../../../src/usage/numbers.ts',
  report: '../../../src/export/report.ts',
} as const;

/** A defect in one function of the program, or in one of the database. */
type Defect =
  | { readonly module: keyof typeof MODULES; readonly plant: (rules: Rules) => Rules }
  | { readonly sql: string };

/** Plants a defect in how an answer is applied, by another situation or another effect of it. */
function inApply(plant: (situation: Situation, right: typeof apply) => Applied): Defect {
  const planted = (rules: Rules) => ({
    apply: (situation: Situation) => plant(situation, rules['apply'] as typeof apply),
  });
  return { module: 'apply', plant: (rules) => ({ ...rules, ...planted(rules) }) };
}

const isStoredFlow = ({ numbers, answer }: Situation) =>
  numbers !== null && streamNamed(answer.stream).kind === 'flow';

const DEFECTS: Readonly<Record<string, Defect>> = {
  'a day that is left out replaces its number by zero': inApply((situation, right) => {
    const { answer } = situation;
    if (answer.verdict.kind !== 'left_out' || !isStoredFlow(situation)) return right(situation);
    const verdict = { kind: 'named', numbers: zerosOf(answer.stream), leftOut: [] } as const;
    return right({ ...situation, answer: { ...answer, verdict } });
  }),
  'a number is final a day after its day': inApply((situation, right) =>
    right({ ...situation, policy: { ...situation.policy, finalAtHours: 24 } }),
  ),
  'a number is not read again': inApply((situation, right) => {
    const applied = right(situation);
    return applied.cell.isStored ? { ...applied, cell: { ...applied.cell, nextReadAtMs: null } } : applied;
  }),
  'a failed read counts as one': inApply((situation, right) => {
    const applied = right(situation);
    const { verdict, sentAtMs } = situation.answer;
    if (verdict.kind !== 'failed' || !applied.cell.isStored) return applied;
    return { ...applied, cell: { ...applied.cell, verifiedAtMs: sentAtMs, attempts: 0 } };
  }),
  'a zero that Losant did not name is sure at once': inApply((situation, right) => {
    const applied = right(situation);
    const isSilent = applied.cell.isStored && !applied.cell.isReported && applied.cell.standing === 'stored';
    const isLate = situation.answer.sentAtMs >= Date.parse(situation.answer.day) + 96 * 3_600_000;
    if (!isSilent || !isLate) return applied;
    return { ...applied, cell: { ...applied.cell, standing: 'final', wasFinal: true } };
  }),
  'silence ends a waiver': inApply((situation, right) =>
    situation.answer.verdict.kind === 'left_out' && situation.cell.standing === 'accepted'
      ? right({ ...situation, cell: { ...situation.cell, standing: 'missing' } })
      : right(situation),
  ),
  'an answer of another time is believed': {
    module: 'answer',
    plant: (rules) => ({ ...rules, findOtherTime: () => null }),
  },
  'what is due of a stream is not found': {
    module: 'due',
    plant: (rules) => ({
      ...rules,
      readDuePage: async (...args: Parameters<typeof readDuePage>) => {
        const cells = await (rules['readDuePage'] as typeof readDuePage)(...args);
        return cells.filter(({ stream }) => stream !== 'notebook_minutes');
      },
    }),
  },
  'a run is green whatever is missing': {
    module: 'report',
    plant: (rules) => {
      const Tally = rules['Tally'] as new (instanceId: string) => object;
      class Blind extends Tally {
        readonly hasFailedCells = false;
      }
      return { ...rules, Tally: Blind };
    },
  },
  'a backfill adds only its first day': {
    module: 'fill',
    plant: (rules) => ({
      ...rules,
      addDays: (...[db, write, options]: Parameters<typeof addDays>) => {
        const { from } = options.scope.range;
        const shorter = { ...options.scope, range: { from, to: from } };
        return (rules['addDays'] as typeof addDays)(db, write, { ...options, scope: shorter });
      },
    }),
  },
  'the view of gaps is blind for half a day': {
    sql: `create or replace function losant_usage_internal.late_before() returns date
      language sql stable parallel safe
      return (now() at time zone 'UTC' - interval '18 hours')::date`,
  },
  'the record of changes forgets a column': {
    module: 'numbers',
    plant: (rules) => ({
      ...rules,
      differencesOf: (...args: unknown[]) => {
        const { old, new: next } = (rules['differencesOf'] as (...all: unknown[]) => Record<string, object>)(
          ...args,
        );
        const first = Object.keys(next as object)[0] ?? '';
        const without = (part: object | undefined) =>
          Object.fromEntries(
            Object.entries(part ?? {}).filter(([key]) => key !== first || key === 'payload_sources'),
          );
        return { old: without(old), new: without(next) };
      },
    }),
  },
};

/** The most seeds until a defect is found. */
const SEEDS_MAX = 24;
const DEFECTS_TRIED = countFrom('WORLD_DEFECTS', 12);
const STEPS = 40;
const LANES = 4;

let template: ClockDatabase;
beforeAll(async () => {
  template = await createClockDatabase();
});
afterAll(() => template.drop());

test.each(Object.entries(DEFECTS).slice(0, DEFECTS_TRIED))(
  'the checker finds a defect that is planted in the program: %s',
  async (name, defect) => {
    await using planted = await plant(defect);
    const found = await findSeed(planted.template);
    process.stdout.write(`world: ${name}: ${found ?? 'not found'}\n`);
    expect(found).not.toBeNull();
  },
  // Generous: most are found by one of the first seeds.
  900_000,
);

/** Returns a seed that finds something wrong, and what; null if none does. */
async function findSeed(from: ClockDatabase): Promise<string | null> {
  const { playSteps, stepsOf } = await import('./play.ts');
  for (let first = 1; first <= SEEDS_MAX; first += LANES) {
    const seeds = Array.from({ length: LANES }, (_, index) => first + index);
    const played = seeds.map(async (seed) => ({
      seed,
      ...(await playSteps(seed, stepsOf(seed, STEPS), from)),
    }));
    const found = (await Promise.all(played)).find(({ wrong }) => wrong.length > 0);
    if (found) return `seed ${found.seed}, after ${found.log.length} steps: ${found.wrong[0]}`;
  }
  return null;
}

/** Makes a copy of the program or of the schema with a defect. */
async function plant(defect: Defect): Promise<AsyncDisposable & { readonly template: ClockDatabase }> {
  if ('sql' in defect) {
    const copy = await createClockDatabase(template);
    await queryOnce(copy.url, defect.sql);
    return { template: copy, [Symbol.asyncDispose]: () => copy.drop() };
  }
  const path = MODULES[defect.module];
  vi.resetModules();
  vi.doMock(path, async (load) => defect.plant(await load<Rules>()));
  return {
    template,
    [Symbol.asyncDispose]: () => {
      vi.doUnmock(path);
      vi.resetModules();
      return Promise.resolve();
    },
  };
}
