import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AlertLog, type Firing, JUDGED_EVERY_HOURS } from './alerts.ts';
import type { SoakEvent } from './events.ts';
import { World } from './world.ts';

export interface SoakResult {
  readonly firings: readonly Firing[];
  readonly scrape: string;
  readonly wakeUps: number;
  /** Heap in use after a collection, in MB, at each quarter of the time. */
  readonly heapMb: readonly number[];
  /** The cells, by standing, of days that ended before the last 96 hours, in which a day becomes final. */
  readonly standings: Readonly<Record<string, number>>;
  /** The cells of those days that have another number than the platform says, or none of what it says. */
  readonly wrong: readonly string[];
  readonly leftovers: Readonly<Record<string, unknown>>;
}

const QUARTERS = 4;

/**
 * A worker wakes up every hour of the simulated time, two replicas by turns. The clock stands still within an
 * hour.
 */
export async function soak(days: number, events: readonly SoakEvent[]): Promise<SoakResult> {
  await using world = await World.open();
  const alerts = new AlertLog(world.platform.instanceId);
  const hours = days * 24;
  const heapsMb: number[] = [];
  for (let hour = 0; hour < hours; hour += 1) {
    await world.setHour(hour);
    for (const { at, act } of events) if (at === hour) await act(world);
    await world.replicas[hour % world.replicas.length]?.runAll();
    if (hour % JUDGED_EVERY_HOURS === 0) {
      alerts.judge(hour, world.nowMs, await Promise.all(world.replicas.map((each) => each.scrape())));
    }
    if ((hour + 1) % (hours / QUARTERS) === 0) {
      heapsMb.push(heapMb());
      process.stdout.write(`soak: day ${(hour + 1) / 24}, heap ${heapsMb.at(-1)?.toFixed(1)} MB\n`);
    }
  }
  return {
    firings: alerts.firings,
    scrape: (await world.replicas[0]?.scrape()) ?? '',
    wakeUps: hours,
    heapMb: heapsMb,
    standings: Object.fromEntries(
      (await world.query(STANDINGS)).map(({ standing, cells }) => [String(standing), Number(cells)]),
    ),
    wrong: await compareWithTruth(world),
    leftovers: (await world.query(LEFTOVERS))[0] ?? {},
  };
}

const OLD = `usage_date < (simulated.now() - interval '96 hours')::date`;
const STANDINGS = `select standing, count(*)::integer as cells from losant_usage.cells where ${OLD} group by 1 order by 1`;

const LEFTOVERS = `select
  (select count(*)::integer from losant_usage.runs where status = 'running') as running,
  (select count(*)::integer from losant_usage.leases) as leases,
  (select count(*)::integer from losant_usage.statements) as statements,
  (select count(*)::integer from losant_usage.pruned_months) as pruned,
  (select count(*)::integer from losant_usage.adjustments) as unsettled`;

/** The stored numbers that the platform knows otherwise: payloads of a day, by hour too, and devices. */
async function compareWithTruth(world: World): Promise<string[]> {
  const stored =
    await world.query(`select org_id, usage_date::text as day, standing, payload_billable_count::text as payloads,
      devices_total::text as devices,
      (select sum(n)::text from losant_usage.payload_hours h, unnest(h.billable_counts) as n
       where h.org_id = d.org_id and h.usage_date = d.usage_date) as hours
    from losant_usage.daily_usage d where ${OLD} order by 1, 2`);
  const truth = new Map<string, readonly unknown[]>();
  for (const orgId of new Set(stored.map(({ org_id }) => String(org_id)))) {
    const path = `truth?orgId=${orgId}&from=${String(stored[0]?.['day'])}&to=2099-12-31`;
    const { orgs } = (await world.platform.control(path)) as { orgs: readonly TruthOrg[] };
    for (const { day, payload_totals, device_counts } of orgs[0]?.days ?? [])
      truth.set(`${orgId} ${day}`, [payload_totals.billable_count, device_counts.total]);
  }
  return stored.flatMap(({ org_id, day, standing, payloads, devices, hours }) => {
    const [billable, total] = truth.get(`${String(org_id)} ${String(day)}`) ?? [];
    const isRight = payloads === String(billable) && hours === String(billable) && devices === String(total);
    return isRight || ['unavailable', 'accepted'].includes(String(standing))
      ? []
      : [
          `${String(org_id)} ${String(day)} ${String(standing)}: ${String(payloads)}, ${String(hours)}, ${String(devices)}; is ${String(billable)}, ${String(total)}`,
        ];
  });
}

interface TruthOrg {
  readonly days: readonly {
    readonly day: string;
    readonly payload_totals: { readonly billable_count: unknown };
    readonly device_counts: { readonly total: unknown };
  }[];
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapMb(): number {
  collect();
  return process.memoryUsage().heapUsed / 1_048_576;
}
