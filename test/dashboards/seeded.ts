/** A database with the known numbers, asked at a moment and in time zones as one likes. */
import pg from 'pg';
import { createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { SEED } from './seed.ts';

export const ZONES = ['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'];

export type Row = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly rows: readonly Row[];
  readonly columns: readonly { readonly name: string; readonly oid: number }[];
}

export interface Seeded {
  /** What `sql` answers in a session of each zone, which takes `moment` for now(). */
  ask(sql: string, options: { moment: string; zones?: readonly string[] }): Promise<Answer[]>;
  close(): Promise<void>;
}

/** `also`: a script for what is to be there beside the known numbers. */
export async function openSeeded(also = ''): Promise<Seeded> {
  const database = await createClockDatabase();
  await database.stopClock(Date.parse('2026-11-26T09:00:00Z'));
  await queryOnce(database.url, SEED + also);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query('create schema at_a_moment; set search_path = at_a_moment, pg_catalog');
  return {
    ask: async (sql, { moment, zones = ['UTC'] }) => {
      await client.query(`create or replace function at_a_moment.now() returns timestamptz language sql stable
        as $$ select timestamptz '${moment}' $$`);
      const answers: Answer[] = [];
      for (const zone of zones) {
        await client.query(`set time zone '${zone}'`);
        const { rows, fields } = await client.query<Row>({ text: sql, types: { getTypeParser: parserOf } });
        answers.push({ rows, columns: fields.map(({ name, dataTypeID }) => ({ name, oid: dataTypeID })) });
      }
      return answers;
    },
    close: async () => {
      await client.end();
      await database.drop();
    },
  };
}

const DATE = 1082;
const BIGINT = 20;
const NUMERIC = 1700;

/** Dates as text, moments as ISO text, numbers as numbers: nothing that hangs on the time zone of the test. */
function parserOf(oid: number): (text: string) => unknown {
  if (oid === DATE) return (text) => text;
  if (oid === BIGINT || oid === NUMERIC) return Number;
  const parse = pg.types.getTypeParser(oid) as (text: string) => unknown;
  return (text) => {
    const value = parse(text);
    return value instanceof Date ? value.toISOString() : value;
  };
}
