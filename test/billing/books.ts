/** A ledger whose cells tests write directly, and whose months they close by the command. */
import { type RawBuilder, sql } from 'kysely';
import { eachDay } from '../../src/usage/day.ts';
import { createLedgerDatabase, Ledger } from '../ledger/ledger.ts';
import { useOpened } from '../opened.ts';
import { type Ended, runProgram } from '../support/program.ts';
import { hours, minutes, POLICY, totals } from '../usage/cells.ts';

/** The numbers of a day, by column of usage_days. */
export type DayNumbers = Readonly<Record<string, unknown>>;

export const DEVICES: DayNumbers = { devices_created: 4, devices_deleted: 1, devices_total: 17 };
const DEFAULT_NUMBERS: Readonly<Record<string, DayNumbers>> = {
  device_counts: DEVICES,
  payload_totals: totals(10, 12, 1_200),
  payload_sources: { payload_source_count: 12, payload_sources: { timer: { 'timer.flow': 7 }, webhook: { hook: 5 } } },
  payload_hours: hours(1, 1, 1),
  notebook_minutes: minutes(0, 0),
};

interface Cells {
  readonly orgId: string;
  readonly from: string;
  readonly to?: string;
  readonly stream?: string;
  readonly standing?: string;
  /** Numbers of a day to store; null stores none. */
  readonly numbers?: DayNumbers | null | ((day: string) => DayNumbers);
  /** Whether they are loaded now, such as after their month was closed, and not a day after their own. */
  readonly isLate?: boolean;
}

export interface OrgOptions {
  /** The days on which it existed. */
  readonly from: string;
  readonly to?: string | null;
  readonly name?: string;
  readonly customerId?: string | null;
}

/** A cell with its numbers before and after a change. */
interface Restatement {
  readonly stream?: string;
  readonly old: DayNumbers;
  readonly numbers: DayNumbers;
}

const setNumbers = (orgId: string, rows: readonly DayNumbers[]): RawBuilder<unknown> => {
  const columns = Object.keys(rows[0] ?? {}).filter((name) => name !== 'usage_date');
  return sql`update losant_usage.usage_days d
    set ${sql.join(columns.map((name) => sql`${sql.ref(name)} = n.${sql.ref(name)}`))}
    from jsonb_populate_recordset(null::losant_usage.usage_days, ${JSON.stringify(rows)}::jsonb) as n
    where d.org_id = ${orgId} and d.usage_date = n.usage_date`;
};

const isCell = (orgId: string, day: string, stream: string) =>
  sql`org_id = ${orgId} and usage_date = ${day} and stream = ${stream}`;

export class Books extends Ledger {
  static async open(now: string): Promise<Books> {
    const books = new Books(await createLedgerDatabase(now));
    await books.write(sql`update losant_usage.instance set policy = ${JSON.stringify(POLICY)}::text::jsonb,
      new_orgs_from = '2020-01-01', listed_at = now()`);
    return books;
  }

  async addOrg({ from, to = null, name = 'Acme', customerId = null }: OrgOptions): Promise<string> {
    const orgId = await this.createOrg({ createdOn: from });
    await this.write(
      sql`update losant_usage.organizations set name = ${name}, customer_id = ${customerId},
        deleted_on = ${to}::date + 1 where org_id = ${orgId}`,
      sql`insert into losant_usage.organization_history (org_id, valid_from, name, customer_id, tags, limits, created_on)
        select org_id, created_on, name, customer_id, tags, limits, created_on
        from losant_usage.organizations where org_id = ${orgId}`,
    );
    return orgId;
  }

  /** Adds an organization that existed on these days, with final cells of devices. */
  async addFinalOrg(org: OrgOptions & { readonly to: string }): Promise<string> {
    const orgId = await this.addOrg(org);
    await this.addCells({ orgId, from: org.from, to: org.to });
    return orgId;
  }

  /** Adds cells of a stream, by default final and with the default numbers, read four days after their day. */
  async addCells({ orgId, from, to = from, stream = 'device_counts', ...cells }: Cells): Promise<void> {
    const { standing = 'final', numbers = DEFAULT_NUMBERS[stream] ?? null, isLate = false } = cells;
    const isStored = numbers !== null;
    const reason = ['final', 'stored'].includes(standing) ? null : 'never_read';
    const toNumbers = typeof numbers === 'function' ? numbers : () => numbers ?? {};
    await this.write(
      sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
        values (${orgId}, ${stream}, ${from}, ${to}::date + 1, ${to})
        on conflict (org_id, stream) do update set first_day = least(tracks.first_day, excluded.first_day),
          next_day = greatest(tracks.next_day, excluded.next_day),
          last_day = greatest(tracks.last_day, excluded.last_day)`,
      sql`insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision,
          last_read_at, last_attempt_at, first_loaded_at, finalized_at, reason, response_sha256)
        select day::date, ${orgId}, ${stream}, ${standing}::losant_usage.standing, ${isStored}, ${isStored},
          ${isStored ? 1 : 0}, day + interval '4 days', day + interval '4 days',
          case when ${isStored} then case when ${isLate} then now() else day + interval '1 day' end end,
          case when ${standing} = 'final' then day + interval '4 days' end, ${reason},
          case when ${isStored} then sha256('x') end
        from generate_series(${from}::timestamp at time zone 'UTC', ${to}::timestamp at time zone 'UTC',
          interval '1 day') as day`,
      sql`insert into losant_usage.usage_days (usage_date, org_id)
        select day::date, ${orgId} from generate_series(${from}::date, ${to}::date, interval '1 day') as day
        on conflict do nothing`,
      // Rolls the cells up into their days.
      sql`update losant_usage.coverage set failed_reads = failed_reads
        where org_id = ${orgId} and usage_date between ${from}::date and ${to}::date`,
      ...(isStored
        ? [
            setNumbers(
              orgId,
              eachDay({ from, to }).map((day) => ({ usage_date: day, ...toNumbers(day) })),
            ),
          ]
        : []),
    );
  }

  /** Changes numbers of a day and records the revision. */
  async restate(orgId: string, day: string, { stream = 'device_counts', old, numbers }: Restatement): Promise<void> {
    await this.write(
      setNumbers(orgId, [{ usage_date: day, ...numbers }]),
      sql`with cell as (
          update losant_usage.coverage set revision = revision + 1
          where ${isCell(orgId, day, stream)} returning revision, standing
        )
        insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
        select ${orgId}, ${stream}, ${day}, revision, ${JSON.stringify(old)}::jsonb, ${JSON.stringify(numbers)}::jsonb,
          standing = 'final', gen_random_uuid() from cell`,
    );
  }

  async setStanding(orgId: string, day: string, standing: string, stream = 'device_counts'): Promise<void> {
    await this.write(sql`update losant_usage.coverage set standing = ${standing}::losant_usage.standing,
        reason = case when ${standing} in ('final', 'stored') then null else 'omitted' end,
        finalized_at = case when ${standing} = 'final' then coalesce(finalized_at, now()) else finalized_at end
      where ${isCell(orgId, day, stream)}`);
  }

  /** Stores the numbers of a cell that was missing. */
  async fill(orgId: string, day: string, stream: string, numbers: DayNumbers): Promise<void> {
    await this.write(
      setNumbers(orgId, [{ usage_date: day, ...numbers }]),
      sql`update losant_usage.coverage set standing = 'final', is_stored = true, is_reported = true, revision = 1,
          first_loaded_at = now(), finalized_at = now(), last_read_at = now(), response_sha256 = sha256('x'),
          reason = null
        where ${isCell(orgId, day, stream)}`,
    );
  }

  /** Runs `close --month` with more options, by the role of its users, and lets a second pass before and after. */
  async close(month: string, ...options: readonly string[]): Promise<Ended> {
    await this.#tick();
    const ended = await runProgram(['close', '--month', month, ...options], { DATABASE_URL: this.url });
    await this.#tick();
    return ended;
  }

  /** Closes a month, whatever blocks it. */
  async accept(month: string): Promise<Ended> {
    return await this.close(month, '--accept-blockers', '--reason', 'agreed with the customer');
  }

  async #tick(): Promise<void> {
    await this.setTime(new Date(this.nowMs + 1_000).toISOString());
  }

  /** Returns the lines of a month: statement, organization, metric, quantity, maximum, average. */
  async lines(month: string, orgId = ''): Promise<string[]> {
    return await this.list(sql`
      select s.number, ${orgId === '' ? sql`l.org_id` : sql`s.kind`}, l.metric, l.quantity, l.maximum, l.average
      from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
      where l.month = ${`${month}-01`} and (${orgId} = '' or l.org_id = ${orgId})
      order by s.number, l.org_id, l.metric`);
  }
}

export function useBooks(now = '2026-11-22T12:00:00.000Z'): Books {
  const open = () => Books.open(now);
  return useOpened(open, (books) => books.drop());
}
