/** What people with rights do to the tables between runs, drawn from a world's seed. */
import pg from 'pg';
import type { Dice } from './seeds.ts';
import { NUMBERS } from './truth.ts';

/** The day of an organization, and the row of a source, that the draw has chosen. */
const someDay = (dice: Dice, where = 'true') => `(usage_date, org_id) = (
  select usage_date, org_id from losant_usage.usage_days where ${where}
  order by md5(concat(usage_date, org_id, ${dice.below(1_000)})) limit 1)`;
const someOrg = (dice: Dice) => `org_id = (
  select org_id from losant_usage.organizations order by md5(concat(org_id, ${dice.below(1_000)})) limit 1)`;
const someSource = (dice: Dice) => `ctid = (
  select ctid from losant_usage.payload_sources
  order by md5(concat(usage_date, org_id, payload_type, source, ${dice.below(1_000)})) limit 1)`;

type Edit = (dice: Dice) => string;

const someStream = (dice: Dice): readonly string[] => Object.values(dice.pick(Object.values(NUMBERS)));

/** Each names what somebody might do, and how it is said in SQL. */
const HAND_EDITS: Readonly<Record<string, Edit>> = {
  'a number is corrected': (dice) => {
    const metric = dice.pick(someStream(dice));
    return `update losant_usage.usage_days set ${metric} = ${metric} + ${1 + dice.below(9)}
      where ${someDay(dice, `${metric} is not null`)}`;
  },
  'a number is taken away': (dice) => {
    const nothing = someStream(dice).map((metric) => `${metric} = null`);
    return `update losant_usage.usage_days set ${nothing.join(', ')} where ${someDay(dice)}`;
  },
  'a number is made up': (dice) => {
    const made = someStream(dice).map((metric) => `${metric} = ${dice.below(3)}`);
    return `update losant_usage.usage_days set ${made.join(', ')} where ${someDay(dice)}`;
  },
  'days are deleted': (dice) =>
    dice.chance(0.5)
      ? `delete from losant_usage.usage_days where ${someDay(dice)}`
      : `delete from losant_usage.usage_days where ${someOrg(dice)}`,
  'all days are truncated': () => 'truncate losant_usage.usage_days',
  'a source is corrected': (dice) =>
    `update losant_usage.payload_sources set count = count + ${1 + dice.below(9)} where ${someSource(dice)}`,
  'a source is renamed': (dice) =>
    `update losant_usage.payload_sources set source = source || '.renamed' where ${someSource(dice)}`,
  'a source is moved to another day': (dice) =>
    `update losant_usage.payload_sources set usage_date = usage_date - ${1 + dice.below(2)},
       source = source || '.moved' where ${someSource(dice)}`,
  'a source is added': (dice) =>
    `insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
     select usage_date, org_id, 'byHand', 'person', ${dice.below(99)} from losant_usage.usage_days
     where ${someDay(dice)} on conflict do nothing`,
  'sources are deleted': (dice) =>
    dice.chance(0.5)
      ? `delete from losant_usage.payload_sources where ${someSource(dice)}`
      : `delete from losant_usage.payload_sources where ${someDay(dice)}`,
  'all sources are truncated': () => 'truncate losant_usage.payload_sources',
  'rows of the ledger are deleted': (dice) =>
    `delete from losant_usage.coverage where ${someDay(dice)} and stream like '${dice.pick(['%', 'payload%', 'device%'])}'`,
  'the ledger is truncated': () => 'truncate losant_usage.coverage',
  'a cell is called final': (dice) =>
    `update losant_usage.coverage set state = 'final' where state = 'loaded' and ${someDay(dice)}`,
  'a cell is called verified': (dice) =>
    `update losant_usage.coverage set verified_at = now() where ${someDay(dice)}`,
  'a cell is called failed': (dice) =>
    `update losant_usage.coverage set state = 'failed', error_code = 'timeout' where ${someDay(dice)}
      and stream like '${dice.pick(['%', 'payload%', 'device%'])}'`,
};

/** Does one of them by hand. Returns which, and why the schema refused it if it did. */
export async function editByHand(url: string, dice: Dice): Promise<{ what: string; refused: string | null }> {
  const what = dice.pick(Object.keys(HAND_EDITS));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query((HAND_EDITS[what] as Edit)(dice));
    return { what, refused: null };
  } catch (error) {
    // Raised by a trigger, or a check: nothing was changed. Anything else is a defect of the schema.
    if (!(error instanceof pg.DatabaseError) || !['P0001', '23514'].includes(error.code ?? '')) throw error;
    return { what, refused: error.message };
  } finally {
    await client.end();
  }
}
