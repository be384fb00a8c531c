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
const VERBS: Readonly<Record<string, string>> = { GET: 'get', PATCH: 'patch', DELETE: 'delete' };
const READ_ONLY = ['instance', 'instanceOrgs'];

/** Returns the route of a method and path, or null for an unknown one, which the API answers with 405. */
export function matchRoute(method: string, path: string): Route | null {
  const { instanceId, list, orgId = null, last } = PATH.exec(path)?.groups ?? {};
  if (instanceId === undefined) return null;
  const resource = list === undefined ? 'instance' : orgId === null ? 'instanceOrgs' : 'instanceOrg';
  const counter = COUNTER_ACTIONS.find((known) => known === last) ?? null;
  const verb = last === undefined ? VERBS[method] : method === 'GET' ? counter : null;
  if (!verb || (verb !== 'get' && counter === null && READ_ONLY.includes(resource))) return null;
  if (resource === 'instanceOrgs' && counter !== null) return null;
  return { action: `${resource}.${verb}`, counter, instanceId, orgId };
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
      return {
        status: 200,
        body: org ? answerOrg(world, org, request) : answerInstance(world, route, request),
      };
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
function admit(world: World, route: Route, { method, authorization }: ApiRequest): Org | null {
  const scope = { scope: route.action, reads: method === 'GET', nowMs: world.now() };
  const access = accessFor(world.tokens, authorization, scope);
  if (access === 'unauthorized') throw new Refusal(401, 'Unauthorized', 'Invalid or missing access token');
  for (const id of [route.instanceId, route.orgId]) {
    if (id !== null && !/^[A-Fa-f\d]{24}$/.test(id))
      throw new Refusal(400, 'Validation', `${id} is not a valid id`);
  }
  const isOurs = route.instanceId.toLowerCase() === world.instanceId;
  if (!isOurs) throw new Refusal(404, 'NotFound', 'Instance was not found');
  if (access === 'forbidden') throw new Refusal(403, 'Forbidden', `The access token lacks ${route.action}`);
  if (route.orgId === null) return null;
  const org = world.organizations.find(route.orgId);
  if (org === undefined || org.deleted) throw new Refusal(404, 'NotFound', 'Organization was not found');
  return org;
}

function answerInstance(world: World, { action }: Route, request: ApiRequest): Body {
  if (action === 'instance.get') return withEnvelope(instanceBody(world), 'instance', request);
  const list = answerOrgList(world, request.query, (org) =>
    withEnvelope(orgBody(world, org), 'instanceOrg', {
      ...request,
      path: `${request.path}/${org.attributes.id}`,
    }),
  );
  return withEnvelope(list, 'instanceOrgs', request);
}

function answerOrg(world: World, org: Org, request: ApiRequest): Body {
  if (request.method === 'DELETE') {
    world.organizations.setDeleted(org, true);
    return { success: true };
  }
  if (request.method === 'GET') return withEnvelope(orgBody(world, org), 'instanceOrg', request);
  const patch = parsedJson(request.text, 'the body');
  const changed = world.organizations.change(org, applyPatch(org.attributes, patch, world.now()));
  return withEnvelope(orgBody(world, changed), 'instanceOrg', request);
}
