/** The checker itself: in copies of the rules that are wrong in one point each, it finds what that leads to. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { apply } from '../../../src/usage/apply.ts';
import type { Applied, Cell, CellAnswer } from '../../../src/usage/cell.ts';
import { streamNamed } from '../../../src/usage/streams/catalog.ts';
import type { Fact } from '../../../src/usage/streams/stream.ts';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { queryOnce } from '../../support/databases.ts';
import { countFrom } from './dice.ts';

type Rules = Readonly<Record<string, unknown>>;

/** A defect in one function of the program, or in one of the database. */
type Defect = { readonly module: Module; readonly plant: (rules: Rules) => Rules } | { readonly sql: string };

const MODULES = {
  apply: '../../../src/usage/apply.ts',
  plan: '../../../src/usage/plan.ts',
  crossCheck: '../../../src/usage/cross-check.ts',
  gaps: '../../../src/queries/gaps.ts',
  tracking: '../../../src/ledger/tracking.ts',
} as const;
type Module = keyof typeof MODULES;

interface Situation {
  readonly cell: Cell | null;
  readonly numbers: readonly Fact[];
  readonly answer: CellAnswer;
}

/** Plants a defect in how an answer is applied, by another situation or another effect of it. */
function inApply(plant: (situation: Situation, apply: (situation: Situation) => Applied) => Applied): Defect {
  return {
    module: 'apply',
    plant: (rules) => {
      const right = rules['apply'] as typeof apply;
      return {
        ...rules,
        apply: (...[cell, numbers, answer, check]: Parameters<typeof apply>) =>
          plant({ cell, numbers, answer }, (other) => right(other.cell, other.numbers, other.answer, check)),
      };
    },
  };
}

const withAge = (answer: CellAnswer, age: Partial<CellAnswer['age']>): CellAnswer => {
  return { ...answer, age: { ...answer.age, ...age } };
};

const DEFECTS: Readonly<Record<string, Defect>> = {
  'a day that is left out replaces its number by zero': inApply(({ cell, numbers, answer }, right) => {
    const { outcome } = answer;
    const stream = streamNamed(answer.stream);
    const isSilent = outcome.kind === 'missing' && cell?.isStored && stream.missingMeans === 'zero';
    if (!isSilent) return right({ cell, numbers, answer });
    const zeros: Fact[] =
      stream.keyColumns.length === 0 ? [{ key: [], values: stream.columns.map(() => 0) }] : [];
    const named = { kind: 'values', facts: zeros, missingColumns: [] } as const;
    return right({ cell, numbers, answer: { ...answer, outcome: named } });
  }),
  'an older answer replaces a newer one': inApply(({ cell, ...rest }, right) =>
    right({ cell: cell && { ...cell, verifiedAtMs: null, attemptedAtMs: null }, ...rest }),
  ),
  'a number is final a day after its day': inApply(({ answer, ...rest }, right) =>
    right({ ...rest, answer: withAge(answer, { finalFromMs: answer.age.finalFromMs - 48 * 3_600_000 }) }),
  ),
  'a number is not read again': inApply(({ answer, ...rest }, right) =>
    right({ ...rest, answer: withAge(answer, { nextCheckpointMs: null }) }),
  ),
  'a failed read counts as one': inApply((situation, right) => {
    const applied = right(situation);
    const { outcome, sentAtMs } = situation.answer;
    if (outcome.kind !== 'failed' || !applied.cell?.isStored) return applied;
    return { ...applied, cell: { ...applied.cell, verifiedAtMs: sentAtMs, attempts: 0 } };
  }),
  'a zero that Losant did not name is sure at once': inApply((situation, right) => {
    const applied = right(situation);
    const { sentAtMs, age } = situation.answer;
    const { cell } = applied;
    const isZero = cell?.isStored && !cell.isReported && cell.standing === 'stored';
    return isZero && sentAtMs >= age.finalFromMs
      ? { ...applied, cell: { ...cell, standing: 'final' } }
      : applied;
  }),
  'zeros stand against a count of sources': {
    module: 'crossCheck',
    plant: (rules) => ({ ...rules, applyCrossCheck: () => null, reasonAgainstZero: () => null }),
  },
  'a window loses the days after its third': {
    module: 'plan',
    plant: (rules) => ({
      ...rules,
      planPage: (...args: unknown[]) => {
        const plan = (rules['planPage'] as (...all: unknown[]) => { slices: { days: unknown[] }[] })(...args);
        const slices = plan.slices.map((slice) => ({ ...slice, days: slice.days.slice(0, 3) }));
        return { ...plan, slices };
      },
    }),
  },
  'a run is green whatever is missing': {
    module: 'gaps',
    plant: (rules) => ({
      ...rules,
      countGapsLeft: () => Promise.resolve({ undone: 0, failed: 0, older: 0 }),
    }),
  },
  'a backfill leaves a hole': {
    module: 'tracking',
    plant: (rules) => ({
      ...rules,
      trackDays: (db: unknown, scope: object, range: unknown) =>
        (rules['trackDays'] as (...all: unknown[]) => unknown)(
          db,
          { ...scope, horizon: '2049-01-01' },
          range,
        ),
    }),
  },
  'the view of gaps is blind for half a day': {
    sql: `create or replace function losant_usage.late_before(moment timestamptz) returns date
      language sql immutable parallel safe as
      $$ select (moment at time zone 'UTC' - interval '18 hours')::date $$`,
  },
  'the record of changes forgets every third': {
    sql: `create function losant_usage.forget() returns trigger language plpgsql as
        $$ begin if new.id % 3 = 0 then return null; end if; return new; end $$;
      create trigger forget before insert on losant_usage.revisions for each row execute function losant_usage.forget()`,
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
  'the checker finds a defect that is planted in the rules: %s',
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
    await queryOnce(copy.url, `${defect.sql}; select losant_usage.record_definitions()`);
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
