import { biasCounter } from './bias.ts';
import { type Body, errorBody, instanceBody, orgBody, withEnvelope } from './bodies.ts';
import { answerCounter } from './counters.ts';
import { type Meter, orgMeter } from './meter.ts';
import { answerOrgList } from './org-list.ts';
import { isRefusal, type Refusal, type Window } from './params.ts';
import { applyPatch } from './patch.ts';
import type { Org } from './population.ts';
import type { Route } from './routes.ts';
import { answerSummaries } from './summaries.ts';
import { accessFor } from './tokens.ts';
import type { World } from './world.ts';

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

const ID_PATTERN = /^[A-Fa-f\d]{24}$/;

/**
 * Answers a request whose route is known. Checks the token, the form of the ids, the instance, the
 * scope and the organization, in this order, and the query last.
 */
export function answerRequest(
  world: World,
  route: Route,
  request: ApiRequest,
  instanceMeter: Meter,
): ApiAnswer {
  const reads = request.method === 'GET';
  const scope = { scope: route.action, reads, nowMs: world.clock.now() };
  const access = accessFor(world.tokens, request.authorization, scope);
  if (access === 'unauthorized') return failure(401, 'Unauthorized', 'Invalid or missing access token');
  for (const id of [route.instanceId, route.orgId]) {
    if (id !== null && !ID_PATTERN.test(id)) return failure(400, 'Validation', `${id} is not a valid id`);
  }
  if (route.instanceId.toLowerCase() !== world.instanceId) return notFound('Instance');
  if (access === 'forbidden') return failure(403, 'Forbidden', `The access token lacks ${route.action}`);
  const org = route.orgId === null ? null : world.population.find(route.orgId);
  if (org === undefined || org?.deleted) return notFound('Organization');
  return org === null
    ? answerInstance(world, route, request, instanceMeter)
    : answerOrg(world, route, request, org);
}

/** Answers a path or method that the platform has not mapped. */
export function unmapped(method: string): ApiAnswer {
  return failure(405, 'MethodNotAllowed', `${method} is not allowed here`);
}

function answerInstance(world: World, route: Route, request: ApiRequest, meter: Meter): ApiAnswer {
  const { path, query } = request;
  if (route.counter !== null) return biasCounter(world, route.counter, counter(world, meter, route, request));
  if (route.action === 'instance.historicalSummaries') {
    const summaries = answerSummaries(world, query);
    if (isRefusal(summaries)) return refused(summaries);
    return ok(withEnvelope(summaries, 'historicalSummaries', path, query));
  }
  if (route.action === 'instance.get') return ok(withEnvelope(instanceBody(world), 'instance', path, query));
  const list = answerOrgList(world, query);
  if (isRefusal(list)) return refused(list);
  const items = (list['items'] as (Body | null)[]).map((item) =>
    item === null ? null : withEnvelope(item, 'instanceOrg', `${path}/${String(item['id'])}`, query),
  );
  return ok(withEnvelope({ ...list, items }, 'instanceOrgs', path, query));
}

function answerOrg(world: World, route: Route, request: ApiRequest, org: Org): ApiAnswer {
  const { path, query, text } = request;
  if (route.counter !== null) return counter(world, orgMeter(world, org), route, request);
  if (route.action === 'instanceOrg.delete') {
    world.population.remove(org);
    return ok({ success: true });
  }
  const answered = route.action === 'instanceOrg.patch' ? patchOrg(world, org, text) : org;
  if ('status' in answered) return answered;
  return ok(withEnvelope(orgBody(world, answered), 'instanceOrg', path, query));
}

/** Returns the changed organization, or the refusal of the change. */
function patchOrg(world: World, org: Org, text: string): Org | ApiAnswer {
  let patch: unknown;
  try {
    patch = JSON.parse(text);
  } catch {
    return failure(400, 'Validation', 'The body must be JSON');
  }
  const result = applyPatch(org.attributes, patch, world.clock.now());
  if ('problems' in result) {
    return {
      status: 400,
      body: errorBody('Validation', 'The body does not fit the schema', result.problems),
    };
  }
  return world.population.change(org, result.attributes);
}

function counter(world: World, meter: Meter, route: Route, request: ApiRequest): ApiAnswer {
  const action = route.counter;
  if (action === null) return unmapped(request.method);
  const answer = answerCounter(world, meter, action, request.query);
  if (isRefusal(answer)) return refused(answer);
  const type = action === 'payloadCounts' ? 'payloadStats' : action;
  return { ...ok(withEnvelope(answer.body, type, request.path, request.query)), window: answer.window };
}

function ok(body: Body): ApiAnswer {
  return { status: 200, body };
}

function failure(status: number, type: string, message: string): ApiAnswer {
  return { status, body: errorBody(type, message) };
}

function notFound(what: string): ApiAnswer {
  return failure(404, 'NotFound', `${what} was not found`);
}

function refused({ refusal, field }: Refusal): ApiAnswer {
  return { status: 400, body: errorBody('Validation', refusal, [{ path: field, message: refusal }]) };
}
