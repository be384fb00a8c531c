import { isoMs, monthlyPeriod, type Window } from './calendar.ts';
import { answerCounter } from './counters.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { hashText } from './hash.ts';
import { type Meter, orgMeter } from './meter.ts';
import { answerOrgList } from './org-list.ts';
import type { Org } from './organizations.ts';
import { applyPatch } from './patch.ts';
import { type Body, parsedJson, Refusal } from './refusal.ts';
import type { World } from './world.ts';

export interface Route {
  /** The resource and action as in the official contract, e.g. `instanceOrg.deviceCounts`; also the scope. */
  readonly action: string;
  readonly counter: CounterAction | null;
  readonly instanceId: string;
  readonly orgId: string | null;
}

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  /** The body of a PATCH. */
  readonly text: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Body;
  /** The window of a counter. */
  readonly window?: Window;
}

const PATH = /^\/instances\/(?<instanceId>[^/]+)(?<list>\/orgs(?:\/(?<orgId>[^/]+))?)?(?:\/(?<last>[^/]+))?$/;
const VERBS: Readonly<Record<string, string>> = {
  'GET instance': 'get',
  'GET instanceOrgs': 'get',
  'GET instanceOrg': 'get',
  'PATCH instanceOrg': 'patch',
  'DELETE instanceOrg': 'delete',
};

/** Returns the route of a method and path, or null for an unknown one, which the API answers with 405. */
export function matchRoute(method: string, path: string): Route | null {
  const { instanceId, list, orgId = null, last } = PATH.exec(path)?.groups ?? {};
  if (instanceId === undefined) return null;
  const ofOrgs = orgId === null ? 'instanceOrgs' : 'instanceOrg';
  const resource = list === undefined ? 'instance' : ofOrgs;
  const isCounted = method === 'GET' && resource !== 'instanceOrgs';
  const counter = (isCounted && COUNTER_ACTIONS.find((known) => known === last)) || null;
  const verb = last === undefined ? VERBS[`${method} ${resource}`] : counter;
  return verb ? { action: `${resource}.${verb}`, counter, instanceId, orgId } : null;
}

/**
 * Answers a request of the API. Checks the token, the form of the ids, the instance, the scope and the
 * organization, in this order, and the query last.
 */
export function answerRequest(
  world: World,
  route: Route | null,
  request: ApiRequest,
  instanceMeter: Meter,
): ApiAnswer {
  try {
    if (route === null) throw new Refusal(405, 'MethodNotAllowed', `${request.method} is not allowed here`);
    const org = admit(world, route, request);
    const { counter } = route;
    if (counter === null) {
      const body = org ? answerOrg(world, org, request) : answerInstance(world, route, request);
      return { status: 200, body };
    }
    const meter = org === null ? instanceMeter : orgMeter(world, org);
    const { body, window } = answerCounter(world, meter, counter, request.query);
    const type = counter === 'payloadCounts' ? 'payloadStats' : counter;
    return { status: 200, body: withEnvelope(body, type, request), window };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { status: error.status, body: error.body };
  }
}

/** Returns the organization of the route, null for a route of the instance. Throws what refuses the request. */
function admit(world: World, { action, instanceId, orgId }: Route, request: ApiRequest): Org | null {
  const token = /^Bearer (\S+)$/i.exec(request.authorization ?? '')?.[1] ?? '';
  const scopes = world.tokens.get(token);
  if (scopes === undefined) throw new Refusal(401, 'Unauthorized', 'Invalid or missing access token');
  for (const id of [instanceId, orgId ?? instanceId]) {
    if (!/^[A-Fa-f\d]{24}$/.test(id)) throw new Refusal(400, 'Validation', `${id} is not a valid id`);
  }
  const isOurs = instanceId.toLowerCase() === world.instanceId;
  if (!isOurs) throw new Refusal(404, 'NotFound', 'Instance was not found');
  const broad = request.method === 'GET' ? READ_SCOPES : SCOPES;
  const isOpen = [action, action.replace(/\..*/, '.*'), ...broad].some((scope) => scopes.includes(scope));
  if (!isOpen) throw new Refusal(403, 'Forbidden', `The access token lacks ${action}`);
  if (orgId === null) return null;
  const org = world.organizations.find(orgId);
  if (org === undefined || org.deleted) throw new Refusal(404, 'NotFound', 'Organization was not found');
  return org;
}

/** The broad scopes of the official contract. */
const SCOPES = ['all.Instance', 'all.Instance.bounded', 'all.User', 'all.User.bounded'];
const READ_SCOPES = [...SCOPES, 'all.Instance.read', 'all.User.read'];

function answerInstance(world: World, { action }: Route, request: ApiRequest): Body {
  if (action === 'instance.get') return withEnvelope(instanceBody(world), 'instance', request);
  const list = answerOrgList(world, request.query, (org) => {
    const path = `${request.path}/${org.key}`;
    return withEnvelope(orgBody(world, org), 'instanceOrg', { ...request, path });
  });
  return withEnvelope(list, 'instanceOrgs', request);
}

function answerOrg(world: World, org: Org, request: ApiRequest): Body {
  if (request.method === 'DELETE') {
    world.organizations.change(org, { deleted: true });
    return { success: true };
  }
  if (request.method === 'GET') return withEnvelope(orgBody(world, org), 'instanceOrg', request);
  const patch = parsedJson(request.text, 'the body');
  const attributes = applyPatch(org.attributes, patch, world.now());
  const changed = world.organizations.change(org, { attributes });
  return withEnvelope(orgBody(world, changed), 'instanceOrg', request);
}

/** Returns the organization as Get, Patch and the list serve it. */
export function orgBody(world: World, org: Org): Body {
  if (org.traits.includes('bare')) return org.attributes;
  const { salt, idle, devices } = org.profile;
  const period = monthlyPeriod(world.now(), 1 + (salt % 28));
  return {
    instanceId: world.instanceId,
    currentPeriodStart: isoMs(period.startMs),
    currentPeriodEnd: isoMs(period.endMs - 1),
    ...org.attributes,
    summary: { appCount: 1 + (salt % 4), deviceCount: idle ? 0 : devices, memberCount: 3 },
  };
}

function instanceBody({ instanceId, seed, organizations }: World): Body {
  return {
    id: instanceId,
    instanceId,
    name: `Simulated instance ${seed}`,
    creationDate: '2019-01-15T09:30:00.000Z',
    lastUpdated: '2019-01-15T09:30:00.000Z',
    orgCount: organizations.living().length,
  };
}

/** Adds the keys that every body has, of which the query can switch `_links` off and `_actions` on. */
function withEnvelope(body: Body, type: string, { path, query }: ApiRequest): Body {
  const links = query.get('_links') === 'false' ? {} : { _links: { self: { href: path } } };
  const actions = query.get('_actions') === 'true' ? { _actions: [] } : {};
  const etag = `"${hashText(JSON.stringify(body)).toString(16)}"`;
  return { ...body, _type: type, _etag: etag, ...links, ...actions };
}
