/**
 * What is closed, as other systems take it. The limits are those that their documentation names, each with its page; they
 * stand here as literal values.
 */
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asProgram, rowsOf } from '../database/ledger.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { devices } from '../views/loads.ts';
import { type Books, openBooks } from './books.ts';
import { DAY_MS, type Memory, openMeter, type StripeBody, send } from './sender.ts';

const QUERY = readFileSync('docs/sql/meter-events.sql', 'utf8');

let database: ClockDatabase;
let books: Books;
/** With a customer id; 4, 1 and 17 on each of three days of October, changed twice after the closing. */
let acme: string;
/** Without one, and never changed. */
let nobody: string;

const restate = async (sentAt: string, ...numbers: number[]) =>
  books.ledger.load([{ ...devices(acme, '2026-10-31', ...numbers), sentAtMs: Date.parse(sentAt) }]);

async function closeAt(moment: string, isAdjustment = true): Promise<void> {
  await database.stopClock(Date.parse(moment));
  const outcome = await books.closeMonth('2026-10', { isAdjustment, reason: 'a test' });
  expect(outcome.kind).toBe('closed');
}

beforeAll(async () => {
  database = await createClockDatabase();
  await database.stopClock(Date.parse('2026-11-04T00:00:00Z'));
  books = await openBooks(database);
  const { ledger, orgOf } = books;
  [acme, nobody] = [
    await orgOf({ from: '2026-10-29', to: '2026-10-31' }),
    await orgOf({ from: '2026-10-29', to: '2026-10-31' }),
  ];
  await asProgram(ledger.db, async (trx) => {
    await sql`update losant_usage.organizations set customer_id = 'cus_acme', referral_id = 'C-17'
      where org_id = ${acme}`.execute(trx);
    await sql`update losant_usage.organizations set customer_id = '', referral_id = 'C-18'
      where org_id = ${nobody}`.execute(trx);
  });
  await closeAt('2026-11-04T00:00:00.4Z', false);
  await restate('2026-11-22T13:00:00Z', 9, 1, 20);
  await closeAt('2026-11-20T10:00:00Z');
  await restate('2026-11-22T14:00:00Z', 2, 1, 0);
  await closeAt('2026-12-20T10:00:00Z');
});

afterAll(() => books.close());

interface EventRow {
  readonly metric: string;
  readonly number: number;
  readonly value: number;
  readonly is_carried: boolean;
  readonly at: string;
}

async function eventsOf(orgId: string): Promise<readonly EventRow[]> {
  const { rows } = await sql<EventRow>`select metric, number, value, value_max, difference, is_carried,
      to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as at,
      to_char(send_by at time zone 'UTC', 'YYYY-MM-DD') as send_by, replaces_event_id, replaces_value
    from losant_usage.meter_events where org_id = ${orgId} order by metric, number`.execute(books.ledger.db);
  return rows;
}

describe('meter_events', () => {
  test('has a level as such, inside its period while that is accepted, with what it replaces', async () => {
    const levels = (await eventsOf(acme)).filter(({ metric }) => metric === 'devices_total');
    const id = `${acme}:devices_total:2026-10-01:2026-10:`;
    const level = { metric: 'devices_total', replaces_event_id: null, replaces_value: null };
    expect(levels).toEqual([
      {
        ...level,
        number: 1,
        value: 17,
        value_max: 17,
        difference: 17,
        is_carried: false,
        at: '2026-10-31 23:00:01',
        send_by: '2026-12-05',
      },
      {
        metric: 'devices_total',
        number: 2,
        value: 20,
        value_max: 20,
        difference: 3,
        is_carried: false,
        at: '2026-10-31 23:00:02',
        send_by: '2026-12-05',
        replaces_event_id: `${id}1`,
        replaces_value: 17,
      },
      {
        metric: 'devices_total',
        number: 3,
        value: 0,
        value_max: 17,
        difference: -20,
        is_carried: true,
        at: '2026-12-20 10:00:00',
        send_by: '2027-01-24',
        replaces_event_id: `${id}2`,
        replaces_value: 20,
      },
    ]);
  });

  test('carries every correction of a flow into the period that is open', async () => {
    const flows = (await eventsOf(acme)).filter(({ metric }) => metric === 'devices_created');
    expect(flows.map(({ number, value, is_carried, at }) => [number, value, is_carried, at])).toEqual([
      [1, 12, false, '2026-10-31 23:00:01'],
      [2, 5, true, '2026-11-20 10:00:00'],
      [3, -7, true, '2026-12-20 10:00:00'],
    ]);
  });

  test('has no event for a flow that is zero or unchanged, and the differences of a level add up to it', async () => {
    const events = await eventsOf(acme);
    expect(events.filter(({ metric }) => metric === 'devices_deleted')).toHaveLength(1);
    const sums = await rowsOf(
      books.ledger.db,
      sql`select metric, sum(difference)::integer as total from losant_usage.meter_events
        where org_id = ${acme} group by metric order by metric`,
    );
    expect(sums).toEqual([
      { metric: 'devices_created', total: 10 },
      { metric: 'devices_deleted', total: 3 },
      { metric: 'devices_total', total: 0 },
    ]);
  });

  test('of an organization without a customer is there, with no customer and no body', async () => {
    const own = (await askQuery()).filter(({ org_id }) => org_id === nobody);
    expect(
      own.map(({ customer_id, stripe, lago, openmeter }) => [customer_id, stripe, lago, openmeter]),
    ).toEqual([1, 2, 3].map(() => [null, null, null, null]));
  });

  test('is the same when it is asked again later, whatever the time zone, though numbers and customers change', async () => {
    const ask = async (zone: string) =>
      await books.ledger.db.transaction().execute(async (trx) => {
        await sql`select set_config('TimeZone', ${zone}, true), set_config('DateStyle', 'German', true)`.execute(
          trx,
        );
        return (
          await sql`select event_id, value, extract(epoch from occurred_at)::integer as at,
          extract(epoch from send_by)::integer as send_by from losant_usage.meter_events order by event_id`.execute(
            trx,
          )
        ).rows;
      });
    const before = await ask('UTC');
    await database.stopClock(Date.parse('2027-03-28T12:00:00Z'));
    await asProgram(books.ledger.db, (trx) =>
      sql`update losant_usage.organizations set customer_id = 'cus_other', name = 'Other' where org_id = ${acme}`.execute(
        trx,
      ),
    );
    expect(await ask('America/Sao_Paulo')).toEqual(before);
    expect(new Set(before.map((each) => (each as { event_id: string }).event_id)).size).toBe(before.length);
    expect(before).toHaveLength(10);
  });
});

interface Bodies {
  readonly stripe: StripeBody;
  readonly lago: {
    event: {
      transaction_id: string;
      external_subscription_id: string;
      code: string;
      timestamp: number;
      properties: Record<string, unknown>;
    };
  };
  readonly openmeter: Record<'specversion' | 'id' | 'source' | 'type' | 'subject' | 'time', string> & {
    data: Record<string, unknown>;
  };
}

interface Asked extends Bodies {
  readonly event_id: string;
  readonly number: number;
  readonly customer_id: string | null;
}

async function askQuery() {
  const { rows } = await sql.raw<Asked>(QUERY).execute(books.ledger.db);
  return rows.map((row) => ({ ...row, org_id: row.event_id.slice(0, 24) }));
}

const CLOSED_AT = ['2026-11-04T00:00:00Z', '2026-11-20T10:00:00Z', '2026-12-20T10:00:00Z'];

/** The bodies of the events of the first organization, with the time at which each can be sent at first. */
async function bodies() {
  const own = (await askQuery()).filter(({ org_id }) => org_id === acme);
  expect(own).toHaveLength(7);
  return own.map((row) => ({ ...row, closedAt: Date.parse(String(CLOSED_AT[row.number - 1])) }));
}

describe('Stripe', () => {
  // https://docs.stripe.com/api/billing/meter-event/create: within the past 35 calendar days or up to 5 minutes in the future.
  test('takes the time of every event from the statement on for a week: at most 35 days old, never in the future', async () => {
    for (const { stripe, closedAt } of await bodies()) {
      const at = stripe.timestamp * 1_000;
      expect(Number.isInteger(stripe.timestamp)).toBe(true);
      expect(closedAt + 7 * DAY_MS - at).toBeLessThanOrEqual(35 * DAY_MS);
      expect(at - closedAt).toBeLessThanOrEqual(5 * 60_000);
    }
  });

  // The same page: payload keys stripe_customer_id and value, texts; uniqueness of identifiers within 24 hours at least.
  // https://hexdocs.pm/tiger_stripe/Stripe.Params.Billing.MeterEventCreateParams.html: at most 100 characters each.
  test('takes the bodies: an id and a name of at most 100 characters, a whole number as text, the customer id', async () => {
    const all = await bodies();
    for (const { stripe } of all) {
      expect(Object.keys(stripe).toSorted()).toEqual(['event_name', 'identifier', 'payload', 'timestamp']);
      expect(stripe.identifier.length).toBeLessThanOrEqual(100);
      expect(stripe.event_name.length).toBeLessThanOrEqual(100);
      expect(stripe.payload.stripe_customer_id).toBe('cus_acme');
      expect(stripe.payload.value).toMatch(/^-?\d{1,15}$/);
    }
    expect(new Set(all.map(({ stripe }) => stripe.identifier)).size).toBe(7);
  });

  // https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage: sum adds the values of a billing period, last
  // takes the most recent one.
  test('comes to the numbers of now: a meter that takes the last, and one that sums', async () => {
    const sent = (await bodies()).map(({ stripe }) => stripe).toSorted((a, b) => a.timestamp - b.timestamp);
    const of = (name: string) => sent.filter(({ event_name }) => event_name === name);
    const inOctober = of('devices_total').filter(
      ({ timestamp }) => timestamp < Date.parse('2026-11-01T00:00:00Z') / 1_000,
    );
    expect(inOctober.map(({ payload }) => payload.value)).toEqual(['17', '20']);
    expect(of('devices_total').at(-1)?.payload.value).toBe('0');
    expect(of('devices_created').reduce((sum, { payload }) => sum + Number(payload.value), 0)).toBe(10);
  });
});

test.each([0, 1, 2, 3, 4, 5, 6])(
  'a sender that ends after event %i, and then again, and comes back after an hour or after two days, counts each once',
  async (endsAfter) => {
    for (const later of [3_600_000, 2 * DAY_MS]) {
      const meter = openMeter();
      const memory: Memory = { number: 0, sent: new Map() };
      const events = await bodies();
      const nowMs = Date.parse('2026-12-20T10:00:00Z');
      send(events, { meter, memory, nowMs, endsAfter });
      send(events, { meter, memory, nowMs: nowMs + later, endsAfter: 0 });
      send(events, { meter, memory, nowMs: nowMs + 2 * later });
      send(events, { meter, memory, nowMs: nowMs + 3 * later });
      expect(memory.number).toBe(3);
      expect(meter.sumOf('devices_created')).toBe(10);
      expect(meter.sumOf('devices_deleted')).toBe(3);
    }
  },
);

// https://docs.getlago.com/guide/events/ingesting-usage: a transaction_id that was received is ignored (422), with ClickHouse
// one with the same timestamp replaces it; timestamps in seconds; the value is a property.
// https://docs.getlago.com/api-reference/events/usage: external_subscription_id and code are required.
test('Lago takes the bodies: an id with its time, always the same two, and the period as properties', async () => {
  const all = (await bodies()).map(({ lago }) => lago.event);
  for (const event of all) {
    expect(event).toMatchObject({
      external_subscription_id: 'cus_acme',
      code: expect.stringMatching(/^devices_/),
    });
    expect(event.transaction_id).not.toBe('');
    expect(String(event.timestamp)).toMatch(/^\d{10}$/);
    expect(Number.isInteger(event.properties['value'])).toBe(true);
    expect(event.properties).toMatchObject({
      org_id: acme,
      period_start: '2026-10-01',
      period_end: '2026-10-31',
    });
  }
  expect(new Set(all.map(({ transaction_id, timestamp }) => `${transaction_id} ${timestamp}`)).size).toBe(7);
});

// https://openmeter.io/docs/concepts/usage-events: CloudEvents 1.0 with id, source, type, subject, time (RFC 3339) and data.
// https://github.com/openmeterio/openmeter/blob/main/config.example.yaml: an id and source are known for 32 days.
test('OpenMeter takes the bodies: CloudEvents with an id of their own and a time in UTC', async () => {
  const all = (await bodies()).map(({ openmeter }) => openmeter);
  for (const event of all) {
    expect(event).toMatchObject({ specversion: '1.0', source: 'losant-usage', subject: 'cus_acme' });
    expect(event.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(Number.isInteger(event.data['value'])).toBe(true);
  }
  expect(new Set(all.map(({ id, source }) => `${source} ${id}`)).size).toBe(7);
  expect(all.at(-1)?.data).toMatchObject({
    replaces_value: 20,
    replaces: `${acme}:devices_total:2026-10-01:2026-10:2`,
  });
});

describe('focus_usage', () => {
  // https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, specification/datasets/cost_and_usage/dataset.md; ProviderName
  // and PublisherName are mandatory up to 1.2.
  test('has every mandatory column of FOCUS 1.0 to 1.3, and others begin with x_ or are named there', async () => {
    const { rows } = await sql<{ name: string }>`select attname as name from pg_attribute
      where attrelid = 'losant_usage.focus_usage'::regclass and attnum > 0 order by attnum`.execute(
      books.ledger.db,
    );
    const names = rows.map(({ name }) => name).filter((name) => !name.startsWith('x_'));
    const mandatory =
      `BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
      ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost
      HostProviderName InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory
      ServiceName ServiceProviderName`.split(/\s+/);
    expect(names).toEqual(expect.arrayContaining(mandatory));
    expect(names.filter((name) => !mandatory.includes(name))).toEqual([
      'ChargeFrequency',
      'ConsumedQuantity',
      'ConsumedUnit',
      'ResourceId',
      'ResourceName',
      'ResourceType',
      'SkuMeter',
      'SubAccountId',
      'SubAccountName',
    ]);
  });

  // The same repository, specification/attributes, Correction Handling (1.3): a correction has the class Correction, the billing
  // period that is open when it is made, and the charge period in which the usage was.
  test('bills a correction in the period that was open, for the period in which the usage was', async () => {
    const rows = await rowsOf(
      books.ledger.db,
      sql`select "ChargeClass" as class, "ConsumedQuantity"::integer as quantity, "ConsumedUnit" as unit,
          array[("BillingPeriodStart" at time zone 'UTC')::date, ("BillingPeriodEnd" at time zone 'UTC')::date]::text as billed,
          array[("ChargePeriodStart" at time zone 'UTC')::date, ("ChargePeriodEnd" at time zone 'UTC')::date]::text as used
        from losant_usage.focus_usage
        where "SubAccountId" = ${acme} and "SkuMeter" = 'devices_created' order by "x_StatementNumber"`,
    );
    const used = '{2026-10-01,2026-11-01}';
    expect(rows).toEqual([
      { class: null, quantity: 12, unit: 'devices', billed: used, used },
      { class: 'Correction', quantity: 5, unit: 'devices', billed: '{2026-11-01,2026-12-01}', used },
      { class: 'Correction', quantity: -7, unit: 'devices', billed: '{2026-12-01,2027-01-01}', used },
    ]);
  });

  test('prices nothing, and says only what is closed', async () => {
    const later = await books.orgOf({ from: '2026-10-30', to: '2026-10-31' });
    const [row] = await rowsOf(
      books.ledger.db,
      sql`select count("BilledCost") as billed, count("BillingCurrency") as currencies, count("ListCost") as listed,
          count("PricingQuantity") as priced, count(*) filter (where "SubAccountId" = ${later}) as later,
          count(*) filter (where "SubAccountName" = 'Other') as renamed
        from losant_usage.focus_usage`,
    );
    expect(row).toEqual({ billed: 0, currencies: 0, listed: 0, priced: 0, later: 0, renamed: 0 });
  });

  test('bills a correction in the own period of the organization, with periods of Losant; null where it is not known', async () => {
    const clock = await createClockDatabase();
    await clock.stopClock(Date.parse('2026-09-04T00:00:00Z'));
    const own = await openBooks(clock);
    const { db } = own.ledger;
    await sql`update losant_usage.instances set billing_periods = 'losant'`.execute(db);
    const orgId = await own.orgOf({ from: '2026-08-03', to: '2026-08-13' });
    await sql`insert into losant_usage.organization_history
        (org_id, valid_from, valid_to, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
      select org_id, v.first, v.next, instance_id, name, tags, limits, false, v.first, v.last
      from losant_usage.organizations, (values
        (timestamptz '2026-08-03 00:00Z', timestamptz '2026-09-02 00:00Z', timestamptz '2026-08-14 00:00Z'),
        ('2026-09-02 00:00Z', null, '2026-10-02 00:00Z')) as v (first, next, last)
      where org_id = ${orgId}`.execute(db);
    const options = { source: 'losant', reason: 'a test' } as const;
    expect((await own.closeMonth('2026-08', options)).kind).toBe('closed');
    for (const [month, hour] of [
      ['09', 13],
      ['11', 14],
    ] as const) {
      const sentAtMs = Date.parse(`2026-11-22T${hour}:00:00Z`);
      await own.ledger.load([{ ...devices(orgId, '2026-08-13', hour, 1, 17), sentAtMs }]);
      await clock.stopClock(Date.parse(`2026-${month}-10T00:00:00Z`));
      expect((await own.closeMonth('2026-08', { ...options, isAdjustment: true })).kind).toBe('closed');
    }
    const { rows } = await sql<{ billed: string }>`
      select array[("BillingPeriodStart" at time zone 'UTC')::date, ("BillingPeriodEnd" at time zone 'UTC')::date]::text as billed
      from losant_usage.focus_usage where "SkuMeter" = 'devices_created' order by "x_StatementNumber"`.execute(
      db,
    );
    expect(rows.map(({ billed }) => billed)).toEqual([
      '{2026-08-03,2026-08-14}',
      '{2026-09-02,2026-10-02}',
      '{NULL,NULL}',
    ]);
    await own.close();
  });
});
