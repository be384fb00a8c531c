/** What people with rights do to the tables between runs, as SQL. */
import pg from 'pg';
import type { Dice } from './dice.ts';
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

/** What somebody may do to numbers; the schema refuses it all the same where the numbers make no sense. */
export const NUMBER_EDITS: Readonly<Record<string, Edit>> = {
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
};

/** What the schema refuses, of tables as a whole whether or not there is a row that it would change. */
export const REFUSED_EDITS: Readonly<Record<string, Edit>> = {
  'all days are truncated': () => 'truncate losant_usage.usage_days',
  'all sources are truncated': () => 'truncate losant_usage.payload_sources',
  'a sum of sources is corrected': (dice) =>
    `update losant_usage.usage_days set payload_source_count = payload_source_count + 1
      where ${someDay(dice, 'payload_source_count is not null')}`,
  'rows of the ledger are deleted': (dice) =>
    `delete from losant_usage.coverage where ${someDay(dice)} and stream like '${dice.pick(['%', 'payload%', 'device%'])}'`,
  'the ledger is truncated': () => 'truncate losant_usage.coverage cascade',
  'a cell is called final': (dice) =>
    `update losant_usage.coverage set standing = 'final' where standing = 'stored' and ${someDay(dice)}`,
  'a cell is called verified': (dice) =>
    `update losant_usage.coverage set verified_at = now() where ${someDay(dice)}`,
  'a cell is called missing': (dice) =>
    `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'timeout'
      where ${someDay(dice)}`,
  'a day is no longer tracked': (dice) =>
    `update losant_usage.tracking set tracked_days = '{}' where ${someOrg(dice)}`,
  'an organization is no longer tracked': (dice) =>
    `delete from losant_usage.tracking where ${someOrg(dice)}`,
  'a waiver is made up': (dice) =>
    `insert into losant_usage.waivers (org_id, stream, usage_date, reason)
     select org_id, stream, usage_date, 'by hand' from losant_usage.coverage where ${someDay(dice)}`,
  'the record is rewritten': (dice) => `update losant_usage.revisions set new = old where ${someOrg(dice)}`,
  'the record is emptied': (dice) =>
    dice.pick(['delete from losant_usage.revisions', 'truncate losant_usage.revisions']),
};

interface Edited {
  /** The reason why the schema refused it; null if it did not. */
  readonly refused: string | null;
  /** The rows that it was about; null where the statement has none. */
  readonly rows: number | null;
}

/** Runs a statement as a person does. */
export async function changeByHand(url: string, statement: string): Promise<Edited> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rowCount } = await client.query(statement);
    return { refused: null, rows: rowCount };
  } catch (error) {
    // Raised by a trigger, or a check: nothing was changed. Anything else is a defect of the schema.
    if (!(error instanceof pg.DatabaseError) || !['P0001', '23514'].includes(error.code ?? '')) throw error;
    return { refused: error.message, rows: null };
  } finally {
    await client.end();
  }
}
