import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';

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

/** Returns the route of a method and path, or null for an unknown one, which the API answers with 405. */
export function matchRoute(method: string, path: string): Route | null {
  const [root, instances, instanceId, ...rest] = path.split('/');
  if (root !== '' || instances !== 'instances' || instanceId === undefined || instanceId === '') return null;
  const [first, orgId, last, ...more] = rest;
  if (more.length > 0) return null;
  if (first !== 'orgs') return orgId === undefined ? instanceRoute(method, instanceId, first) : null;
  if (orgId === undefined) {
    return method === 'GET' ? { action: 'instanceOrgs.get', counter: null, instanceId, orgId: null } : null;
  }
  return orgId === '' ? null : orgRoute(method, instanceId, orgId, last);
}

function instanceRoute(method: string, instanceId: string, last: string | undefined): Route | null {
  if (method !== 'GET') return null;
  if (last === undefined) return { action: 'instance.get', counter: null, instanceId, orgId: null };
  if (last === 'historicalSummaries') {
    return { action: 'instance.historicalSummaries', counter: null, instanceId, orgId: null };
  }
  const counter = COUNTER_ACTIONS.find((known) => known === last);
  return counter === undefined ? null : { action: `instance.${counter}`, counter, instanceId, orgId: null };
}

function orgRoute(method: string, instanceId: string, orgId: string, last: string | undefined): Route | null {
  if (last === undefined) {
    const verb = { GET: 'get', PATCH: 'patch', DELETE: 'delete' }[method];
    return verb === undefined ? null : { action: `instanceOrg.${verb}`, counter: null, instanceId, orgId };
  }
  const counter = method === 'GET' ? COUNTER_ACTIONS.find((known) => known === last) : undefined;
  return counter === undefined ? null : { action: `instanceOrg.${counter}`, counter, instanceId, orgId };
}
