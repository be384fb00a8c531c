/** Whether Losant's own totals say what the sums say: asked of the API alone, whatever is stored. */
import { listOrgPages, type OrgPage } from '../losant/orgs.ts';
import { listSummaryPages, type MonthlySummary } from '../losant/summaries.ts';
import { fetchUsage } from '../losant/usage.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { OrgTarget } from './check-org.ts';

/** Each is asked twice: a probe is a handful of questions, not an export. */
const ORGS_MAX = 25;

/** A day of this age is final by the default policy. */
const FINAL_DAYS = 4;

const PROBED = ['device_counts', 'payload_totals'];

export async function probeTotals(target: OrgTarget): Promise<string> {
  const { client, instanceId, signal } = target;
  const pages = listOrgPages(client, { instanceId, perPage: ORGS_MAX, signal });
  const { value: page } = (await pages.next()) as IteratorResult<OrgPage, undefined>;
  const totalCount = page?.totalCount ?? 0;
  if (totalCount > ORGS_MAX) {
    return `not asked of ${totalCount} organizations, only of up to ${ORGS_MAX}: losant-usage reconcile tells once some days were exported`;
  }
  const day = addDays(target.day, -FINAL_DAYS);
  const window = { from: day, to: day };
  const sums = new Map<string, number>();
  for (const { orgId } of page?.items ?? []) {
    for (const [metric, value] of await readSums(target, orgId, window)) {
      sums.set(metric, (sums.get(metric) ?? 0) + value);
    }
  }
  const totals = await readSums(target, null, window);
  const answers = [...totals].map(([metric, total]) => compare(metric, sums.get(metric) ?? 0, total));
  return `${day}, ${totalCount} organizations: ${answers.join('; ')}`;
}

/** One organization's last whole month: its days added up, and its summary. */
export async function probeSummaries(target: OrgTarget): Promise<string> {
  const { client, instanceId, orgId, signal } = target;
  const monthEnd = addDays(`${addDays(target.day, -FINAL_DAYS).slice(0, 7)}-01`, -1);
  const month = `${monthEnd.slice(0, 7)}-01`;
  const summary = await findSummary(target, listSummaryPages(client, { instanceId, month, orgId, signal }));
  if (summary === null) return `${month.slice(0, 7)}: no summary of organization ${orgId}`;
  const sums = await readSums(target, orgId, { from: month, to: monthEnd });
  const { figures } = summary;
  const figure = (name: string) => figures[name] ?? Number.NaN;
  const megabytes = figure('payloadBillableSizeMb') + figure('payloadNonbillableSizeMb');
  const counts = [
    compare('devices', sums.get('devices_total') ?? 0, figure('deviceCount')),
    compare('billable payloads', sums.get('payload_billable_count') ?? 0, figure('payloadBillableCount')),
    describeMegabyte(sums.get('payload_all_bytes') ?? 0, megabytes),
  ];
  const proration = summary.proration === null ? '' : `, prorated ${summary.proration}`;
  return `${month.slice(0, 7)}, organization ${orgId}${proration}: ${counts.join('; ')}`;
}

async function findSummary(
  { orgId }: OrgTarget,
  pages: ReturnType<typeof listSummaryPages>,
): Promise<MonthlySummary | null> {
  for await (const { items } of pages) {
    const found = items.find(({ resourceId }) => resourceId === orgId);
    if (found) return found;
  }
  return null;
}

/** Each metric over the window: flows added up, of levels the last. */
async function readSums(
  { client, instanceId, signal }: OrgTarget,
  orgId: string | null,
  window: DayRange,
): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const stream of PROBED.map(streamNamed)) {
    const bodies: unknown[] = [];
    for (const request of stream.requests) {
      bodies.push((await fetchUsage(client, { instanceId, orgId, window, signal, ...request })).body);
    }
    const { days } = stream.readBodies(bodies, window);
    for (const [, reading] of [...days].toSorted(byDay)) {
      if (reading.kind === 'quarantined') throw new Error(`${stream.name}: ${reading.message}`);
      const values = reading.facts[0]?.values ?? [];
      for (const [index, metric] of stream.metrics.entries()) {
        const before = metric === 'devices_total' ? 0 : (sums.get(metric) ?? 0);
        sums.set(metric, before + (values[index] ?? 0));
      }
    }
  }
  return sums;
}

function byDay([a]: readonly [UsageDay, unknown], [b]: readonly [UsageDay, unknown]): number {
  return a < b ? -1 : 1;
}

function compare(what: string, sum: number, total: number): string {
  if (Number.isNaN(total)) return `${what} ${sum}, not in the answer`;
  return `${what} ${sum} ${sum === total ? 'equal' : `against ${total}, which differ by ${sum - total}`}`;
}

/** Which megabyte it is: of 1,000,000 bytes, or of 2^20. */
function describeMegabyte(bytes: number, megabytes: number): string {
  if (Number.isNaN(megabytes)) return `bytes ${bytes}, not in the answer`;
  const sizes = [
    { name: '1,000,000 bytes', size: 1_000_000 },
    { name: '2^20 bytes', size: 2 ** 20 },
  ];
  const fits = sizes.find(({ size }) => Math.abs(bytes / size - megabytes) < 1);
  return `${bytes} bytes are ${megabytes} Mb ${fits ? `of ${fits.name}` : 'of neither 1,000,000 nor 2^20 bytes'}`;
}
