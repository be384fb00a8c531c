import { isoMs, monthlyPeriod, type Window } from './calendar.ts';
import { createCounterBody } from './counters.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { hashText } from './hash.ts';
import { createOrgMeter, type Meter } from './meter.ts';
import { createOrgListBody } from './org-list.ts';
import type { Org } from './organizations.ts';
import { applyPatch } from './patch.ts';
import { type Body, parseJsonText, Rejection } from './rejection.ts';
import type { World } from './world.ts';

export interface Route {
  /** For example `instanceOrg.deviceCounts`, as in the official contract: also the name of the scope. */
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

export interface ApiResponse {
  readonly status: number;
  readonly body: Body;
  /** The requested range of a counter. */
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

/** Returns null for an unknown method and path, for which the API responds with 405. */
export function matchRoute(method: string, path: string): Route | null {
  const { instanceId, list, orgId = null, last } = PATH.exec(path)?.groups ?? {};
  if (instanceId === undefined) return null;
  const orgResource = orgId === null ? 'instanceOrgs' : 'instanceOrg';
  const resource = list === undefined ? 'instance' : orgResource;
  const mayBeCounter = method === 'GET' && resource !== 'instanceOrgs';
  const counter = (mayBeCounter && COUNTER_ACTIONS.find((name) => name === last)) || null;
  const verb = last === undefined ? VERBS[`${method} ${resource}`] : counter;
  return verb ? { action: `${resource}.${verb}`, counter, instanceId, orgId } : null;
}

/** Handles a request to the API. Checks token, IDs, instance, scope, organization and query, in this order. */
export function handleRequest(
  world: World,
  route: Route | null,
  request: ApiRequest,
  instanceMeter: Meter,
): ApiResponse {
  try {
    if (route === null) throw new Rejection(405, 'MethodNotAllowed', `${request.method} is not allowed here`);
    const org = authorize(world, route, request);
    const { counter } = route;
    if (counter === null) {
      const body = org ? handleOrgRequest(world, org, request) : createInstanceBody(world, route, request);
      return { status: 200, body };
    }
    const meter = org === null ? instanceMeter : createOrgMeter(world, org);
    const { body, window } = createCounterBody(world, meter, counter, request.query);
    const type = counter === 'payloadCounts' ? 'payloadStats' : counter;
    return { status: 200, body: addEnvelope(body, type, request), window };
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return { status: error.status, body: error.body };
  }
}

/** Returns the organization of the route; null for a route of the instance. Throws a {@link Rejection}. */
function authorize(world: World, { action, instanceId, orgId }: Route, request: ApiRequest): Org | null {
  const token = /^Bearer (\S+)$/i.exec(request.authorization ?? '')?.[1] ?? '';
  const scopes = world.tokens.get(token);
  if (scopes === undefined) throw new Rejection(401, 'Unauthorized', 'Invalid or missing access token');
  for (const id of [instanceId, orgId ?? instanceId]) {
    if (!/^[A-Fa-f\d]{24}$/.test(id)) throw new Rejection(400, 'Validation', `${id} is not a valid id`);
  }
  const isInstance = instanceId.toLowerCase() === world.instanceId;
  if (!isInstance) throw new Rejection(404, 'NotFound', 'Instance was not found');
  const broad = request.method === 'GET' ? READ_SCOPES : SCOPES;
  const hasScope = [action, action.replace(/\..*/, '.*'), ...broad].some((scope) => scopes.includes(scope));
  if (!hasScope) throw new Rejection(403, 'Forbidden', `The access token lacks ${action}`);
  if (orgId === null) return null;
  const org = world.organizations.find(orgId);
  if (org === undefined || org.deleted) throw new Rejection(404, 'NotFound', 'Organization was not found');
  return org;
}

/** The broad scopes of the official contract. */
const SCOPES = ['all.Instance', 'all.Instance.bounded', 'all.User', 'all.User.bounded'];
const READ_SCOPES = [...SCOPES, 'all.Instance.read', 'all.User.read'];

function createInstanceBody(world: World, { action }: Route, request: ApiRequest): Body {
  if (action === 'instance.get') return addEnvelope(describeInstance(world), 'instance', request);
  const list = createOrgListBody(world, request.query, (org) => {
    const path = `${request.path}/${org.key}`;
    return addEnvelope(describeOrgBody(world, org), 'instanceOrg', { ...request, path });
  });
  return addEnvelope(list, 'instanceOrgs', request);
}

function handleOrgRequest(world: World, org: Org, request: ApiRequest): Body {
  if (request.method === 'DELETE') {
    world.organizations.change(org, { deleted: true });
    return { success: true };
  }
  if (request.method === 'GET') return addEnvelope(describeOrgBody(world, org), 'instanceOrg', request);
  const patch = parseJsonText(request.text);
  const attributes = applyPatch(org.attributes, patch, world.now());
  const changed = world.organizations.change(org, { attributes });
  return addEnvelope(describeOrgBody(world, changed), 'instanceOrg', request);
}

/** Returns the body of an organization in Get, Patch and the list. */
export function describeOrgBody(world: World, org: Org): Body {
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

function describeInstance({ instanceId, seed, organizations }: World): Body {
  return {
    id: instanceId,
    instanceId,
    name: `Simulated instance ${seed}`,
    creationDate: '2019-01-15T09:30:00.000Z',
    lastUpdated: '2019-01-15T09:30:00.000Z',
    orgCount: organizations.existingKeys().length,
  };
}

/** Adds the keys of every body. The query can turn `_links` off and `_actions` on. */
function addEnvelope(body: Body, type: string, { path, query }: ApiRequest): Body {
  const links = query.get('_links') === 'false' ? {} : { _links: { self: { href: path } } };
  const actions = query.get('_actions') === 'true' ? { _actions: [] } : {};
  const etag = `"${hashText(JSON.stringify(body)).toString(16)}"`;
  return { ...body, _type: type, _etag: etag, ...links, ...actions };
}
