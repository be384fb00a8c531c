import { z } from 'zod';
import { type ApiRequest, type ApiResponse, describeOrgBody } from './api.ts';
import { dayOf, dayText } from './calendar.ts';
import { BREAKDOWN_VARIANTS, COUNTER_ACTIONS, type DayEdits, groupOf } from './edits.ts';
import type { Org } from './organizations.ts';
import { type Body, createValidationError, Rejection } from './rejection.ts';
import { changeSettings, counterInput, dayInput } from './settings.ts';
import { describeTruth } from './truth.ts';
import { Stats, type World } from './world.ts';

type Handler = (world: World, input: unknown) => Body | void;

/**
 * Handles a control request of a test: returns the true numbers, the requests and the served faults, or changes the
 * world. It needs no token, because the server listens on loopback only. Invalid input gets 400, so that no test
 * continues in a world that it did not request.
 */
export function handleControl(world: World, { method, path, query, text }: ApiRequest): ApiResponse {
  const handler = { GET: GET_HANDLERS, POST: POST_HANDLERS }[method]?.[path.slice('/control/'.length)];
  if (handler === undefined) return { status: 404, body: { error: 'no such control path' } };
  try {
    const input: unknown = method === 'GET' ? Object.fromEntries(query) : JSON.parse(text || '{}');
    return { status: 200, body: handler(world, input) ?? { success: true } };
  } catch (error) {
    if (error instanceof z.ZodError) return { status: 400, body: { error: z.prettifyError(error) } };
    if (!(error instanceof Rejection || error instanceof SyntaxError)) throw error;
    return { status: 400, body: { error: error.message } };
  }
}

/** Returns a handler that validates its input. */
function withInput<T>(schema: z.ZodType<T>, handler: (world: World, input: T) => Body | void): Handler {
  return (world, input) => handler(world, schema.parse(input));
}

const idInput = z.stringFormat('id', /^[A-Fa-f\d]{24}$/);
const instantInput = z.iso.datetime().transform((text) => Date.parse(text));

const truthInput = z.strictObject({
  from: dayInput,
  to: dayInput,
  orgId: z.string().optional(),
  page: z.coerce.number().int().min(0).default(0),
  perPage: z.coerce.number().int().min(1).max(1000).default(1000),
});

const GET_HANDLERS: Readonly<Record<string, Handler>> = {
  /** Returns the rows that a run must store, of one organization or of a page of those that are not deleted. */
  truth: withInput(truthInput, (world, { from, to, orgId, page, perPage }) => {
    const describe = (org: Org) => describeTruth(world, org, from, to);
    if (orgId !== undefined) return { orgs: [describe(getOrg(world, orgId))] };
    const keys = world.organizations.existingKeys();
    const orgs = [...world.organizations.each(keys.slice(page * perPage, (page + 1) * perPage))];
    return { page, perPage, totalCount: keys.length, orgs: orgs.map(describe) };
  }),
  /** Returns every organization, including deleted ones. */
  orgs: (world) => {
    const orgs = [...world.organizations.each(world.organizations.allKeys())];
    return { totalCount: orgs.length, orgs: orgs.map((org) => describeOrg(world, org)) };
  },
  /** Returns the served faults, oldest first. */
  faults: withInput(z.strictObject({ kind: z.string().optional() }), (world, { kind }) => {
    const faults = world.faults.served.filter((fault) => kind === undefined || fault.kind === kind);
    return { count: faults.length, faults };
  }),
  config: ({ settings }) => settings,
  stats: ({ stats: { requests, actions, faults } }) => ({ requests, actions, faults }),
};

/** One counter; all of them by default. */
const countersInput = counterInput.transform((counter) => [counter]).default([...COUNTER_ACTIONS]);

/** Creates the schema of a change of one organization and day. */
const cellInput = <S extends z.ZodRawShape>(more: S) => z.strictObject({ orgId: z.string(), day: dayInput, ...more });

const POST_HANDLERS: Readonly<Record<string, Handler>> = {
  config(world, input) {
    world.settings = changeSettings(world.settings, input);
    return world.settings;
  },
  'stats/reset'(world) {
    world.stats = new Stats();
  },

  /** Changes the numbers of a day from now on. */
  restate: withInput(
    cellInput({ counter: countersInput, times: z.int().min(1).default(1), sourcesOnly: z.boolean().default(false) }),
    (world, { counter, times, sourcesOnly, ...cell }) => {
      const { restatements } = getEdits(world, cell);
      const groups = new Set(sourcesOnly ? (['sources'] as const) : counter.map(groupOf));
      for (const group of groups) restatements[group] = (restatements[group] ?? 0) + times;
    },
  ),
  /** Removes the usage of a day from now on, or restores it. */
  empty: withInput(
    cellInput({ counter: countersInput, empty: z.boolean().default(true) }),
    (world, { counter, empty, ...cell }) => {
      const { emptyGroups } = getEdits(world, cell);
      for (const group of counter.map(groupOf)) {
        if (empty) emptyGroups.add(group);
        else emptyGroups.delete(group);
      }
    },
  ),
  /** Omits the bucket of the day from responses to the action from now on, or no longer. */
  omit: withInput(
    cellInput({
      action: countersInput,
      variant: z.enum(BREAKDOWN_VARIANTS).nullable().default(null),
      omit: z.boolean().default(true),
    }),
    (world, { action, variant, omit, ...cell }) => {
      const edits = getEdits(world, cell);
      // Only the breakdown has variants.
      const actions = variant === null ? action : (['payloadCountsBreakdown'] as const);
      for (const each of actions) edits.setOmitted({ action: each, variant }, omit);
    },
  ),
  /** Changes the payloads of an hour, in hourly responses only; `by: 0` resets it. */
  hour: withInput(
    cellInput({ hour: z.int().min(0).max(23), by: z.number().default(0) }),
    (world, { hour, by, ...cell }) => void getEdits(world, cell).hourOffsets.set(hour, by),
  ),

  /** Adds an organization, created now by default; `attributes` override those from the seed. */
  orgs: withInput(
    z.strictObject({
      id: idInput.optional(),
      creationDate: instantInput.optional(),
      size: z.number().optional(),
      attributes: z.record(z.string(), z.unknown()).optional(),
    }),
    (world, { creationDate, ...properties }) => {
      const org = world.organizations.add({ ...properties, createdMs: creationDate }, world.now());
      if (org === null) throw createValidationError('id', 'is taken');
      return describeOrg(world, org);
    },
  ),
  /** Restores a deleted organization. */
  'orgs/restore': withInput(
    z.strictObject({ orgId: z.string() }),
    (world, { orgId }) => void world.organizations.change(getOrg(world, orgId), { deleted: false }),
  ),
  /** Overrides attributes with any JSON, even if no schema allows it. */
  attributes: withInput(
    z.strictObject({ orgId: z.string(), attributes: z.record(z.string(), z.unknown()) }),
    (world, { orgId, attributes }) => {
      const org = getOrg(world, orgId);
      const changes = { attributes: { ...org.attributes, ...attributes } };
      return describeOrg(world, world.organizations.change(org, changes));
    },
  ),

  tokens: withInput(
    z.strictObject({ token: z.string().min(1), scopes: z.array(z.string()), revoked: z.boolean().default(false) }),
    ({ tokens }, { token, scopes, revoked }) => {
      if (revoked) tokens.delete(token);
      else tokens.set(token, scopes);
    },
  ),
  'tokens/revoke': withInput(z.strictObject({ token: z.string() }), ({ tokens }, { token }) => {
    if (!tokens.delete(token)) throw createValidationError('token', 'is unknown');
  }),
};

/** Returns the edits of an organization and day, which may be changed. */
function getEdits(world: World, { orgId, day }: { orgId: string; day: number }): DayEdits {
  return world.edits.edit(getOrg(world, orgId).key, day);
}

function describeOrg(world: World, org: Org): Body {
  return {
    orgId: org.key,
    deleted: org.deleted,
    traits: org.traits,
    createdDay: dayText(dayOf(org.createdMs)),
    attributes: describeOrgBody(world, org),
  };
}

function getOrg(world: World, orgId: string): Org {
  const org = world.organizations.find(orgId);
  if (org === undefined) throw createValidationError('orgId', `there is no organization ${orgId}`);
  return org;
}
