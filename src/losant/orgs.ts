import { z } from 'zod';
import { describeProblems } from '../usage/body.ts';
import type { Organization } from '../usage/organization.ts';
import { type Answer, unusableAnswer } from './attempt.ts';
import type { LosantClient } from './client.ts';
import { OrgListJudge, type OrgListVerdict } from './org-list.ts';
import { type OrganizationReading, readOrganization } from './organization.ts';

export interface Instance {
  readonly name: string | null;
  readonly answer: Answer;
}

export interface OrgPage {
  /** The number of organizations of the instance according to this page. */
  readonly totalCount: number;
  /** The organizations that were on no earlier page. */
  readonly items: readonly Organization[];
  /** The organizations on this page that could not be read; they exist nevertheless. */
  readonly rejected: readonly Extract<OrganizationReading, { ok: false }>[];
}

export interface ListOptions {
  readonly instanceId: string;
  readonly perPage?: number | undefined;
  readonly signal: AbortSignal;
}

const PER_PAGE = 100;

/**
 * The pages requested ahead while one is processed, so that the latencies of a list of thousands of
 * organizations do not add up.
 */
const PAGES_AHEAD = 4;

const instanceBody = z.object({
  id: z.string().optional(),
  instanceId: z.string().optional(),
  name: z.string().nullish(),
});

export interface InstanceQuestion {
  readonly instanceId: string;
  /** The number of attempts instead of the client's. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/** `getInstance` throws a `LosantError`: `not_found` if the token does not know the instance. */
export async function getInstance(
  client: LosantClient,
  { instanceId, attempts, signal }: InstanceQuestion,
): Promise<Instance> {
  const asked = { action: 'instance.get', ids: { instance: instanceId } };
  const path = `instances/${encodeURIComponent(instanceId)}`;
  const answer = await client.get({ ...asked, path, query: {}, attempts, signal });
  const parsed = instanceBody.safeParse(answer.body);
  if (!parsed.success) throw unusableAnswer(asked, answer, describeProblems(parsed.error));
  // The fields of this body are not documented: a body that only names the instance is enough.
  const named = parsed.data.name == null ? undefined : instanceId;
  const id = (parsed.data.id ?? parsed.data.instanceId ?? named)?.toLowerCase();
  if (id !== instanceId.toLowerCase())
    throw unusableAnswer(asked, answer, `answered for instance ${id ?? 'unnamed'}`);
  return { name: parsed.data.name ?? null, answer };
}

export interface OrgQuestion {
  readonly instanceId: string;
  readonly orgId: string;
  readonly signal: AbortSignal;
}

/** An organization as this program reads it, with Losant's answer as a JSON object. */
export interface OrgResource {
  readonly organization: Organization;
  readonly resource: Readonly<Record<string, unknown>>;
}

/**
 * `getOrg` returns one organization. Throws a `LosantError`: `not_found` if it is unknown, `bad_body` if its
 * attributes cannot be read.
 */
export async function getOrg(
  client: LosantClient,
  { instanceId, orgId, signal }: OrgQuestion,
): Promise<OrgResource> {
  const asked = { action: 'instanceOrg.get', ids: { org: orgId } };
  const path = `instances/${encodeURIComponent(instanceId)}/orgs/${encodeURIComponent(orgId)}`;
  const answer = await client.get({ ...asked, path, query: {}, signal });
  const reading = readOrganization(answer.body, clockOf(answer));
  if (!reading.ok) throw unusableAnswer(asked, answer, reading.problem);
  const { organization } = reading;
  if (organization.orgId !== orgId.toLowerCase()) {
    throw unusableAnswer(asked, answer, `answered for organization ${organization.orgId}`);
  }
  return { organization, resource: JSON.parse(answer.text) as OrgResource['resource'] };
}

/**
 * `listOrgPages` lists all organizations of an instance page by page, sorted by id, so that a rename cannot
 * move one to a page already read. Where the list shifts, earlier pages are read again, in rare cases the
 * complete list, whose organizations then come twice. Returns whether the list is complete. Throws a
 * `LosantError`.
 */
export async function* listOrgPages(
  client: LosantClient,
  options: ListOptions,
): AsyncGenerator<OrgPage, OrgListVerdict, undefined> {
  const { instanceId, perPage = PER_PAGE } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const read = (page: number) => readPage(client, { instanceId, perPage, page, signal });
  const judge = new OrgListJudge({ pagesAhead: PAGES_AHEAD });
  let ahead: Promise<RawPage>[] = [];
  let page = 0;
  try {
    for (;;) {
      const { readings, totalCount } = await (ahead.shift() ?? read(page));
      const step = judge.take({ page, totalCount, ids: readings.map(idOf) });
      if (step.kind === 'read_again') {
        ahead = [];
        page = step.page;
        continue;
      }
      const fresh = readings.filter((_, index) => step.fresh[index]);
      const { pagesLeft, next } = step;
      while (ahead.length < Math.min(PAGES_AHEAD, pagesLeft))
        ahead.push(inBackground(read(page + 1 + ahead.length)));
      if (fresh.length > 0 || page === 0) yield { totalCount, ...splitReadings(fresh) };
      if (next === 'end' || (next === 'asked' && ahead.length === 0)) return judge.verdict();
      page += 1;
    }
  } finally {
    stop.abort();
  }
}

/** `inBackground` keeps a failure that nobody waits for yet from counting as unhandled. */
function inBackground<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

const pageBody = z.object({
  items: z.array(z.unknown()),
  totalCount: z.int().nonnegative(),
  page: z.int().nullish(),
});

interface RawPage {
  readonly readings: readonly OrganizationReading[];
  readonly totalCount: number;
}

async function readPage(
  client: LosantClient,
  options: ListOptions & { readonly perPage: number; readonly page: number },
): Promise<RawPage> {
  const { instanceId, perPage, page, signal } = options;
  const asked = { action: 'instanceOrgs.get', ids: { instance: instanceId, page: String(page) } };
  const answer = await client.get({
    ...asked,
    path: `instances/${encodeURIComponent(instanceId)}/orgs`,
    query: { page: String(page), perPage: String(perPage), sortField: 'id', sortDirection: 'asc' },
    signal,
  });
  const parsed = pageBody.safeParse(answer.body);
  if (!parsed.success) throw unusableAnswer(asked, answer, describeProblems(parsed.error));
  const { items, totalCount, page: echoed } = parsed.data;
  if (echoed != null && echoed !== page) throw unusableAnswer(asked, answer, `answered with page ${echoed}`);
  return { readings: items.map((item) => readOrganization(item, clockOf(answer))), totalCount };
}

/** `clockOf` returns the API's own time of an answer, in ms. */
function clockOf({ dateMs, receivedAtMs }: Answer): number {
  return dateMs ?? receivedAtMs;
}

function idOf(reading: OrganizationReading): string | null {
  return reading.ok ? reading.organization.orgId : reading.orgId;
}

function splitReadings(readings: readonly OrganizationReading[]): Pick<OrgPage, 'items' | 'rejected'> {
  return {
    items: readings.filter((reading) => reading.ok).map((reading) => reading.organization),
    rejected: readings.filter((reading) => !reading.ok),
  };
}
