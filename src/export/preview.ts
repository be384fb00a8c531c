import { dayAt, type UsageDay } from '../usage/day.ts';
import { listOrgPages } from '../losant/orgs.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { InstanceContext, PlanSummary, RunOptions } from './context.ts';
import { readTrackPages } from './due.ts';
import { planPage, type Track } from '../usage/plan.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { isSelected } from '../usage/selection.ts';

export type PreviewOptions = Pick<RunOptions, 'ask' | 'orgIds' | 'shard' | 'streams' | 'signal'>;

/**
 * Adds up the plan of a run. Reads only; an instance this database has never
 * collected for is planned from Losant's list, as its first run would.
 */
export async function previewRun(
  context: InstanceContext,
  options: PreviewOptions,
  { isKnown }: { isKnown: boolean },
): Promise<PlanSummary> {
  const { db, instanceId, policy, now } = context;
  const { ask, orgIds, streams } = options;
  const planOptions = { nowMs: now(), policy, ask };
  const pages = isKnown
    ? readTrackPages(db, { instanceId, streams, orgIds }, planOptions)
    : listTrackPages(context, options);
  const sum = { orgs: 0, cells: 0, requests: 0, unavailable: 0, waiting: 0, pastHorizon: 0 };
  const reasons: Record<string, number> = {};
  const days: UsageDay[] = [];
  for await (const tracks of pages) {
    const plan = planPage(tracks, planOptions);
    sum.orgs += new Set(tracks.map(({ orgId }) => orgId)).size;
    sum.unavailable += plan.lost.length;
    sum.waiting += plan.waiting.length;
    sum.pastHorizon += plan.pastHorizon;
    for (const slice of plan.slices) {
      sum.cells += slice.days.length;
      sum.requests += streamNamed(slice.stream).requests.length;
      for (const { reason } of slice.days) reasons[reason] = (reasons[reason] ?? 0) + 1;
      days.push(slice.window.from, slice.window.to);
    }
    days.sort();
    days.splice(1, Math.max(0, days.length - 2));
  }
  return { instanceId, from: days[0] ?? null, to: days.at(-1) ?? null, ...sum, reasons };
}

/** The tracks that a first run would begin with. */
async function* listTrackPages(
  { client, instanceId, selection, now }: InstanceContext,
  { orgIds, streams, signal }: PreviewOptions,
): AsyncGenerator<Track[]> {
  const trackedFrom = lastCompleteDay(now());
  for await (const { items } of listOrgPages(client, { instanceId, signal })) {
    const meant = items.filter(
      (org) => isSelected(selection, org) && (orgIds === null || orgIds.includes(org.orgId)),
    );
    yield meant.flatMap(({ orgId, createdAt }) =>
      streams.map((stream) => ({
        orgId,
        stream,
        windowDays: streamNamed(stream).windowDays,
        trackedFrom,
        trackedTo: null,
        createdOn: createdAt === null ? null : dayAt(Date.parse(createdAt)),
        expiredTo: null,
        removedOn: null,
        settled: [],
        cells: [],
      })),
    );
  }
}
