/** A year of hourly wake-ups in simulated time, with all that an operator does in it. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { AlertLog, JUDGED_EVERY_HOURS } from './alerts.ts';
import { EVENTS } from './events.ts';
import { hourOf, openWorld, type World } from './world.ts';

/** Set by `npm run test:soak`, without which this is not run; at least 3. */
const DAYS = Number(process.env['SOAK_DAYS']);
const HOURS = DAYS * 24;
const QUARTERS = 4;

/**
 * What has to alarm somebody: each alert between two hours, the last of which is later than the end of its cause and the
 * next retry. Nothing else may: least of all an outage of an hour.
 */
const ALERTS: readonly (readonly [alert: string, from: number, to: number])[] = [
  ['DatabaseUnreachable', 54, 54],
  ['TokenRefused', 102, 102],
  // The API is away from hour 132 to 180: the newest day that was read ended in hour 120.
  ['YesterdayMissing', 174, 174],
  // Wrong answers for one organization from hour 264 to 336, while the others are read. A gap is old after two days.
  ['Gap', 312, 360],
  ['DatabaseUnreachable', 420, 420],
  // Changed in hour 480, seen when the day is read for the second-to-last time, a week after its end.
  ['FinalNumberChanged', 528, 546],
  // Changed on day 45, seen a month after the day's end.
  ['FinalNumberChanged', hourOf(50), hourOf(50, 18)],
  // An organization answers no question from day 68 until it is deleted on day 74.
  ['Gap', hourOf(70), hourOf(74, 18)],
];

// Promise (Operation): After a year of outages and a failover nothing is missing, and memory is flat.
test(
  `after ${DAYS} days of hourly wake-ups with outages and a failover nothing is missing, and memory is flat`,
  async () => {
    await using world = await openWorld();
    const { alerts, heapsMb } = await play(world);
    const standings = await world.query(STANDINGS);
    const [leftovers] = await world.query(LEFTOVERS);
    const heap = heapsMb.map((mb) => mb.toFixed(1)).join(' → ');
    process.stdout.write(
      `soak: ${DAYS} days, heap ${heap} MB, ${JSON.stringify({ standings, leftovers, fired: alerts.fired })}\n`,
    );
    expect(await compareWithTruth(world)).toEqual([]);
    const open = standings.filter(
      ({ standing }) => !['final', 'accepted', 'unavailable'].includes(String(standing)),
    );
    expect(open).toEqual([]);
    expect(leftovers).toEqual({ running: 0, leases: 0, gaps: 0 });
    expect((heapsMb.at(-1) ?? 0) - (heapsMb[0] ?? 0)).toBeLessThan(10);
    expect(compareWithExpected(alerts.fired)).toEqual({ unexpected: [], silent: [] });
  },
  // Generous: on a busy machine it takes several times as long.
  60_000 + DAYS * 30_000,
);

/** Returns the alerts that fired and should not have, and those that should have and did not. */
function compareWithExpected(fired: AlertLog['fired']) {
  const unexpected = fired.filter(
    ([alert, hour]) => !ALERTS.some(([name, from, to]) => name === alert && from <= hour && hour <= to),
  );
  const silent = ALERTS.filter(
    ([name, from, to]) =>
      to < HOURS && !fired.some(([alert, hour]) => name === alert && from <= hour && hour <= to),
  );
  return { unexpected, silent };
}

/** A worker wakes up every hour, two replicas by turns. The clock stands still within an hour. */
async function play(world: World) {
  const alerts = new AlertLog(world.platform.instanceId);
  const events = Map.groupBy(EVENTS, ({ at }) => at);
  // In MB after a collection, at each quarter of the time.
  const heapsMb: number[] = [];
  for (let hour = 0; hour < HOURS; hour += 1) {
    await world.setHour(hour);
    for (const { act } of events.get(hour) ?? []) await act(world);
    await world.replicas[hour % world.replicas.length]?.runAll();
    if (hour % JUDGED_EVERY_HOURS === 0)
      alerts.judge(hour, world.nowMs, await Promise.all(world.replicas.map((each) => each.scrape())));
    if ((hour + 1) % (HOURS / QUARTERS) === 0) heapsMb.push(heapMb());
    if ((hour + 1) % 240 === 0) process.stdout.write(`soak: day ${(hour + 1) / 24}\n`);
  }
  return { alerts, heapsMb };
}

/** Days that ended before the last 96 hours, in which a day becomes final. */
const OLD = `usage_date < (simulated.now() - interval '96 hours')::date`;
const STANDINGS = `
  select standing, count(*)::integer as cells from losant_usage.cells where ${OLD} group by 1 order by 1`;
const LEFTOVERS = `select
  (select count(*)::integer from losant_usage.runs where status = 'running') as running,
  (select count(*)::integer from losant_usage.leases) as leases,
  (select count(*)::integer from losant_usage.coverage_gaps) as gaps`;

interface TruthDay {
  readonly day: string;
  readonly payload_totals: { readonly billable_count: unknown };
  readonly device_counts: { readonly total: unknown };
}

/** Returns the stored numbers that the platform knows otherwise: payloads of a day, by hour too, and devices. */
async function compareWithTruth(world: World): Promise<string[]> {
  const stored = await world.query(`
    select u.org_id, u.usage_date::text as day, payload_billable_count::text as payloads,
      devices_total::text as devices,
      (select sum(n)::text from unnest(hours_billable_count) as n) as hours
    from losant_usage.usage_days u
    where ${OLD} and not exists (select from losant_usage.cells c where c.usage_date = u.usage_date
      and c.org_id = u.org_id and c.standing in ('unavailable', 'accepted'))
    order by 1, 2`);
  const lines: string[] = [];
  for (const [orgId, days] of Map.groupBy(stored, ({ org_id }) => String(org_id))) {
    const path = `truth?orgId=${orgId}&from=${String(days[0]?.['day'])}&to=2099-12-31`;
    const { orgs } = (await world.platform.control(path)) as {
      orgs: readonly { days: readonly TruthDay[] }[];
    };
    const truth = new Map(orgs[0]?.days.map((each) => [each.day, each]));
    for (const { day, payloads, devices, hours } of days) {
      const { payload_totals, device_counts } = truth.get(String(day)) ?? {};
      const [sum, total] = [String(payload_totals?.billable_count), String(device_counts?.total)];
      const isRight = payloads === sum && hours === sum && devices === total;
      if (!isRight)
        lines.push(`${orgId} ${String(day)}: ${String([payloads, hours, devices])}; is ${sum}, ${total}`);
    }
  }
  return lines;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapMb(): number {
  collect();
  return process.memoryUsage().heapUsed / 1_048_576;
}
