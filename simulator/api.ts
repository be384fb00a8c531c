import { instanceBody, orgBody, withEnvelope } from './bodies.ts';
import { answerCounter } from './counters.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { type Meter, orgMeter } from './meter.ts';
import { answerOrgList } from './org-list.ts';
import type { Org } from './organizations.ts';
import type { Window } from './params.ts';
import { applyPatch } from './patch.ts';
import { type Body, parsedJson, Refusal } from './refusal.ts';
import { accessFor } from './tokens.ts';
import type { World } from './world.ts';

export interface Route {
  /**
   * The resource and action as in the official contract, e.g. `instanceOrg.deviceCounts`, which is also
   * the scope.
   */
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
  /** The body text of a PATCH. */
  readonly text: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Body;
  /** The window, for a counter that answered 200. */
  readonly window?: Window;
}

const PATH = /^\/instances\/(?<instanceId>[^/]+)(?<list>\/orgs(?:\/(?<orgId>[^/]+))?)?(?:\/(?<last>[^/]+))?$/;
const VERBS: Readonly<Record<string, string>> = { GET: 'get', PATCH: 'patch', DELETE: 'delete' };
const RESOURCES = [
  'instance.get',
  'instanceOrgs.get',
  'instanceOrg.get',
  'instanceOrg.patch',
  'instanceOrg.delete',
];

/** Returns the route of a method and path, or null for an unknown one, which the API answers with 405. */
export function matchRoute(method: string, path: string): Route | null {
  const { instanceId, list, orgId = null, last } = PATH.exec(path)?.groups ?? {};
  if (instanceId === undefined) return null;
  const isOfInstance = list === undefined;
  if (last !== undefined) {
    const counter = COUNTER_ACTIONS.find((known) => known === last);
    if (counter === undefined || method !== 'GET' || (!isOfInstance && orgId === null)) return null;
    return { action: `${isOfInstance ? 'instance' : 'instanceOrg'}.${counter}`, counter, instanceId, orgId };
  }
  const resource = isOfInstance ? 'instance' : orgId === null ? 'instanceOrgs' : 'instanceOrg';
  const action = `${resource}.${VERBS[method]}`;
  return RESOURCES.includes(action) ? { action, counter: null, instanceId, orgId } : null;
}

const ID_PATTERN = /^[A-Fa-f\d]{24}$/;

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
    if (route.counter !== null) {
      const meter = org === null ? instanceMeter : orgMeter(world, org);
      return answerCounterRequest(world, meter, route.counter, request);
    }
    const body = org === null ? answerInstance(world, route, request) : answerOrg(world, route, request, org);
    return { status: 200, body };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { status: error.status, body: error.body };
  }
}

/** Returns the organization of the route, null for a route of the instance. Throws what refuses the request. */
function admit(world: World, route: Route, { method, authorization }: ApiRequest): Org | null {
  const scope = { scope: route.action, reads: method === 'GET', nowMs: world.now() };
  const access = accessFor(world.tokens, authorization, scope);
  if (access === 'unauthorized') throw new Refusal(401, 'Unauthorized', 'Invalid or missing access token');
  for (const id of [route.instanceId, route.orgId]) {
    if (id !== null && !ID_PATTERN.test(id)) throw new Refusal(400, 'Validation', `${id} is not a valid id`);
  }
  if (route.instanceId.toLowerCase() !== world.instanceId) {
    throw new Refusal(404, 'NotFound', 'Instance was not found');
  }
  if (access === 'forbidden') throw new Refusal(403, 'Forbidden', `The access token lacks ${route.action}`);
  if (route.orgId === null) return null;
  const org = world.organizations.find(route.orgId);
  if (org === undefined || org.deleted) throw new Refusal(404, 'NotFound', 'Organization was not found');
  return org;
}

function answerCounterRequest(
  world: World,
  meter: Meter,
  action: CounterAction,
  { path, query }: ApiRequest,
): ApiAnswer {
  const { body, window } = answerCounter(world, meter, action, query);
  const type = action === 'payloadCounts' ? 'payloadStats' : action;
  return { status: 200, body: withEnvelope(body, type, path, query), window };
}

function answerInstance(world: World, { action }: Route, { path, query }: ApiRequest): Body {
  if (action === 'instance.get') return withEnvelope(instanceBody(world), 'instance', path, query);
  const list = answerOrgList(world, query, (org) => orgBody(world, org));
  const items = list.items.map((item) =>
    item === null ? null : withEnvelope(item, 'instanceOrg', `${path}/${String(item['id'])}`, query),
  );
  return withEnvelope({ ...list, items }, 'instanceOrgs', path, query);
}

function answerOrg(world: World, { action }: Route, { path, query, text }: ApiRequest, org: Org): Body {
  if (action === 'instanceOrg.delete') {
    world.organizations.setDeleted(org, true);
    return { success: true };
  }
  if (action === 'instanceOrg.get') return withEnvelope(orgBody(world, org), 'instanceOrg', path, query);
  const patch = parsedJson(text, 'the body');
  const changed = world.organizations.change(org, applyPatch(org.attributes, patch, world.now()));
  return withEnvelope(orgBody(world, changed), 'instanceOrg', path, query);
}
