import type { OrgAttributes } from './attributes.ts';
import { orgBody } from './bodies.ts';
import { dayOf, dayText, isoMs, parseDayText } from './calendar.ts';
import { applyConfig, CONFIG_KEYS } from './config-input.ts';
import * as read from './control-input.ts';
import { ControlError } from './control-input.ts';
import { BREAKDOWN_VARIANTS, groupOf } from './edits.ts';
import type { Org } from './population.ts';
import { truthOf } from './truth.ts';
import type { World } from './world.ts';

/**
 * Answers control requests of checks, which run beside the API. They return the true numbers, the
 * requests made and the faults served, and change the world. They need no token; the server listens on
 * loopback only. Throws ControlError for input that cannot be understood. Returns null for an unknown
 * path.
 */
export function answerControl(
  world: World,
  { method, path, query, text }: { method: string; path: string; query: URLSearchParams; text: string },
): unknown {
  const name = path.slice('/control/'.length);
  if (method === 'GET') return CONTROL_READS[name]?.(world, query) ?? null;
  if (method !== 'POST') return null;
  return CONTROL_WRITES[name]?.(world, parseBody(text)) ?? null;
}

const CONTROL_READS: Readonly<Record<string, (world: World, query: URLSearchParams) => unknown>> = {
  truth: readTruth,
  orgs: readOrgs,
  faults: readFaults,
  config: (world) => describeConfig(world),
  stats(world, query) {
    const orgId = query.get('orgId');
    return world.stats.snapshot(orgId === null ? null : knownOrg(world, orgId).number);
  },
};

const CONTROL_WRITES: Readonly<Record<string, (world: World, body: unknown) => unknown>> = {
  config: changeConfig,
  restate,
  omit,
  hour: changeHour,
  empty,
  orgs: addOrg,
  'orgs/restore': restoreOrg,
  attributes: setAttributes,
  tokens: putToken,
  'stats/reset'(world) {
    world.stats.reset();
    return { success: true };
  },
  'faults/reset'(world) {
    world.ledger.reset();
    return { success: true };
  },
  'tokens/revoke'(world, body) {
    const token = read.textIn(read.inputOf(body, ['token']), 'token');
    if (!world.tokens.revoke(token)) throw new ControlError('there is no such token');
    return { success: true };
  },
};

/**
 * Returns the expected rows from `from` to `to`, both inclusive, of one organization or of a page of
 * those not deleted.
 */
function readTruth(world: World, query: URLSearchParams): unknown {
  const from = dayParam(query, 'from');
  const to = dayParam(query, 'to');
  const orgId = query.get('orgId');
  const { orgs, page } =
    orgId === null ? pageOf(world, world.population.living(), query, 100) : single(world, orgId);
  return {
    ...page,
    from: dayText(from),
    to: dayText(to),
    orgs: orgs.map((org) => truthOf(world, org, from, to)),
  };
}

/** Returns every organization, including deleted ones, as the API describes it. */
function readOrgs(world: World, query: URLSearchParams): unknown {
  const orgId = query.get('orgId');
  const { orgs, page } =
    orgId === null ? pageOf(world, world.population.all(), query, 1000) : single(world, orgId);
  return { ...page, orgs: orgs.map((org) => describeOrg(world, org)) };
}

function describeOrg(world: World, org: Org): unknown {
  return {
    orgId: org.key,
    deleted: org.deleted,
    traits: org.traits,
    createdAt: isoMs(org.createdMs),
    createdDay: dayText(dayOf(org.createdMs)),
    attributes: orgBody(world, org),
  };
}

/** Returns the last faults served, oldest first, filtered by orgId, kind and action. */
function readFaults(world: World, query: URLSearchParams): unknown {
  const orgId = query.get('orgId')?.toLowerCase() ?? null;
  const kind = query.get('kind');
  const action = query.get('action');
  const faults = world.ledger
    .served()
    .filter((fault) => orgId === null || fault.orgId === orgId)
    .filter((fault) => kind === null || fault.kind === kind)
    .filter((fault) => action === null || fault.action === action);
  return { count: faults.length, faults };
}

function describeConfig(world: World): unknown {
  return { ...world.config, now: isoMs(world.clock.now()) };
}

/**
 * Changes the configuration. `clock` is `{at, frozen?}` in ms since epoch, or `{offsetMs}` from the
 * host's time.
 */
function changeConfig(world: World, body: unknown): unknown {
  const input = read.inputOf(body, CONFIG_KEYS);
  applyConfig(world.config, input);
  if (input['clock'] !== undefined) {
    const clock = read.inputOf(input['clock'], ['at', 'frozen', 'offsetMs'], 'clock');
    if (clock['at'] === undefined) world.clock.setOffset(read.numberIn(clock, 'offsetMs'));
    else
      world.clock.setTo(read.numberIn(clock, 'at'), read.optional(clock, 'frozen', read.booleanIn) ?? false);
  }
  return describeConfig(world);
}

/** Gives a day other numbers from now on. The answer says how often it was restated. */
function restate(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['orgId', 'day', 'counter', 'times', 'sourcesOnly']);
  const org = knownOrg(world, read.textIn(input, 'orgId'));
  const day = read.dayIn(input, 'day');
  const times = read.optional(input, 'times', read.numberIn) ?? 1;
  if (!Number.isInteger(times) || times < 1)
    throw new ControlError('times must be a whole number of at least 1');
  const isSplit = read.optional(input, 'sourcesOnly', read.booleanIn) ?? false;
  const groups = new Set(isSplit ? ['sources' as const] : read.countersIn(input, 'counter').map(groupOf));
  return Object.fromEntries(
    [...groups].map((group) => [group, world.edits.restate(org.key, day, group, times)]),
  );
}

/** Leaves the day without usage from now on, or no longer with `empty: false`. */
function empty(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['orgId', 'day', 'counter', 'empty']);
  const org = knownOrg(world, read.textIn(input, 'orgId'));
  const day = read.dayIn(input, 'day');
  const isEmptied = read.optional(input, 'empty', read.booleanIn) ?? true;
  for (const action of read.countersIn(input, 'counter')) {
    world.edits.setEmptied(org.key, day, groupOf(action), isEmptied);
  }
  return { success: true };
}

/**
 * Leaves the day's bucket out of the action's answers from now on, or no longer with `omit: false`.
 * For `payloadCountsBreakdown` a single variant can be named.
 */
function omit(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['orgId', 'day', 'action', 'variant', 'omit']);
  const org = knownOrg(world, read.textIn(input, 'orgId'));
  const day = read.dayIn(input, 'day');
  const omitted = read.optional(input, 'omit', read.booleanIn) ?? true;
  const variant =
    read.optional(input, 'variant', (from, key) => read.choiceIn(from, key, BREAKDOWN_VARIANTS)) ?? null;
  const actions = variant === null ? read.countersIn(input, 'action') : VARIED;
  for (const action of actions) world.edits.setOmitted(org.key, day, { action, variant }, omitted);
  return { success: true };
}

/**
 * Makes an hour of the day's payloads wrong in answers by hour alone: `by` is added to its numbers, or
 * it is left out. `by: 0` puts it right.
 */
function changeHour(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['orgId', 'day', 'hour', 'by', 'omit']);
  const org = knownOrg(world, read.textIn(input, 'orgId'));
  const hour = read.numberIn(input, 'hour');
  if (!Number.isInteger(hour) || hour < 0 || hour > 23) throw new ControlError('hour must be from 0 to 23');
  const by = read.optional(input, 'by', read.numberIn) ?? 0;
  const omitted = read.optional(input, 'omit', read.booleanIn) ?? false;
  world.edits.setHour(org.key, read.dayIn(input, 'day'), hour, { by, omitted });
  return { success: true };
}

/** The only counter that can be asked for in several variants. */
const VARIED = ['payloadCountsBreakdown'] as const;

/** Overrides attributes of an organization with any JSON, valid by the API's schema or not. */
function setAttributes(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['orgId', 'attributes']);
  const org = knownOrg(world, read.textIn(input, 'orgId'));
  const attributes = read.inputOf(input['attributes'], Object.keys(input['attributes'] ?? {}), 'attributes');
  return describeOrg(world, world.population.change(org, { ...org.attributes, ...attributes }));
}

/**
 * Adds an organization. `attributes` override those from the seed; `creationDate` is ISO text, by
 * default the present.
 */
function addOrg(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['id', 'creationDate', 'idle', 'size', 'attributes']);
  const creationDate = read.optional(input, 'creationDate', read.textIn);
  const createdMs = creationDate === undefined ? undefined : Date.parse(creationDate);
  if (Number.isNaN(createdMs)) throw new ControlError('creationDate must be an ISO date');
  const id = read.optional(input, 'id', read.textIn);
  if (id !== undefined && !/^[A-Fa-f\d]{24}$/.test(id)) throw new ControlError('id must be 24 hex digits');
  const attributes = (input['attributes'] ?? {}) as Partial<OrgAttributes>;
  const org = world.population.add(
    {
      id,
      createdMs,
      idle: read.optional(input, 'idle', read.booleanIn),
      size: read.optional(input, 'size', read.numberIn),
      attributes,
    },
    world.clock.now(),
  );
  if (org === null) throw new ControlError('the id is taken');
  return describeOrg(world, org);
}

/** Brings a deleted organization back as it was. */
function restoreOrg(world: World, body: unknown): unknown {
  const org = knownOrg(world, read.textIn(read.inputOf(body, ['orgId']), 'orgId'));
  world.population.restore(org);
  return { success: true };
}

function putToken(world: World, body: unknown): unknown {
  const input = read.inputOf(body, ['token', 'scopes', 'revoked', 'expiresAt']);
  const expiresAt = read.optional(input, 'expiresAt', read.textIn);
  const expiresAtMs = expiresAt === undefined ? null : Date.parse(expiresAt);
  if (Number.isNaN(expiresAtMs)) throw new ControlError('expiresAt must be an ISO date');
  world.tokens.put(read.textIn(input, 'token'), {
    scopes: read.textsIn(input, 'scopes'),
    revoked: read.optional(input, 'revoked', read.booleanIn) ?? false,
    expiresAtMs,
  });
  return { success: true };
}

function knownOrg(world: World, orgId: string): Org {
  const org = world.population.find(orgId);
  if (org === undefined) throw new ControlError(`there is no organization ${orgId}`);
  return org;
}

function single(world: World, orgId: string): { orgs: Org[]; page: object } {
  return { orgs: [knownOrg(world, orgId)], page: {} };
}

function pageOf(
  world: World,
  keys: readonly string[],
  query: URLSearchParams,
  largest: number,
): { orgs: readonly Org[]; page: object } {
  const page = Number(query.get('page') ?? 0);
  const perPage = Math.min(largest, Number(query.get('perPage') ?? largest));
  if (!Number.isInteger(page) || !Number.isInteger(perPage) || page < 0 || perPage < 1) {
    throw new ControlError('page and perPage must be whole numbers');
  }
  const orgs = [...world.population.each(keys.slice(page * perPage, (page + 1) * perPage))];
  return { orgs, page: { page, perPage, totalCount: keys.length } };
}

function dayParam(query: URLSearchParams, name: string): number {
  const day = parseDayText(query.get(name) ?? '');
  if (day === null) throw new ControlError(`${name} must be a day, YYYY-MM-DD`);
  return day;
}

function parseBody(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch {
    throw new ControlError('the body must be JSON');
  }
}
