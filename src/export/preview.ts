import { readDuePages } from '../ledger/due.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { countGapsLeft } from '../queries/gaps.ts';
import { type DayRange, dayAt, latestDay, type UsageDay } from '../usage/day.ts';
import { isSelected } from '../usage/organization.ts';
import { type DueTrack, planPage } from '../usage/plan.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import {
  type InstanceContext,
  type PlanSummary,
  type RunOptions,
  scopeOf,
  triesFailedAgain,
} from './context.ts';

export type PreviewOptions = Pick<RunOptions, 'kind' | 'ask' | 'orgIds' | 'shard' | 'streams' | 'signal'>;

/**
 * `previewRun` adds up the plan of a run. Reads only. An instance that this database has never collected is planned
 * from Losant's list, as its first run would be.
 */
export async function previewRun(
  context: InstanceContext,
  options: PreviewOptions,
  { isKnown }: { isKnown: boolean },
): Promise<PlanSummary> {
  const { db, instanceId, policy, now } = context;
  const { ask } = options;
  const planOptions = { nowMs: now(), policy, ask, retriesFailed: triesFailedAgain(options) };
  const scope = scopeOf(context, options);
  const pages = isKnown ? readDuePages(db, scope, planOptions) : listTrackPages(context, options);
  const sum = { orgs: 0, cells: 0, requests: 0, unavailable: 0, pastHorizon: 0 };
  const reasons: Record<string, number> = {};
  const days: UsageDay[] = [];
  for await (const tracks of pages) {
    context.waits.moved();
    const plan = planPage(tracks, planOptions);
    sum.orgs += new Set(tracks.map(({ orgId }) => orgId)).size;
    sum.unavailable += plan.closed.filter(({ reason }) => reason !== 'not_tracked').length;
    sum.pastHorizon += plan.unreadable;
    for (const slice of plan.slices) {
      sum.cells += slice.days.length;
      sum.requests += streamNamed(slice.stream).requests.length;
      for (const { reason } of slice.days) reasons[reason] = (reasons[reason] ?? 0) + 1;
      days.push(slice.window.from, slice.window.to);
    }
    days.sort();
    days.splice(1, Math.max(0, days.length - 2));
  }
  const gaps =
    isKnown && !ask ? await countGapsLeft(db, scope, { startedAtMs: planOptions.nowMs, range: null }) : null;
  const waiting = gaps === null ? 0 : Math.max(0, gaps.undone + gaps.older - (reasons['gap'] ?? 0));
  return { instanceId, from: days[0] ?? null, to: days.at(-1) ?? null, ...sum, waiting, reasons };
}

/** `listTrackPages` yields the tracks that a first run would begin with. */
async function* listTrackPages(
  { client, instanceId, selection, streams, now }: InstanceContext,
  { ask, orgIds, streams: wanted, signal }: PreviewOptions,
): AsyncGenerator<DueTrack[]> {
  const yesterday = lastCompleteDay(now());
  const range: DayRange = ask?.range ?? { from: yesterday, to: yesterday };
  for await (const { items } of listOrgPages(client, { instanceId, signal })) {
    const meant = items.filter(
      (org) => isSelected(selection, org) && (orgIds === null || orgIds.includes(org.orgId)),
    );
    yield meant.flatMap(({ orgId, createdAt }) => {
      const from = latestDay(range.from, createdAt === null ? null : dayAt(Date.parse(createdAt)));
      const days = from <= range.to ? [{ from, to: range.to }] : [];
      const none = { removedOn: null, stored: [], uncovered: [], untracked: [] };
      return (wanted ?? streams).map((stream) => ({
        orgId,
        stream,
        ...none,
        unread: ask ? [] : days,
        asked: ask ? days : [],
      }));
    });
  }
}
