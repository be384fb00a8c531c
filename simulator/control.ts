import { z } from 'zod';
import { orgBody } from './bodies.ts';
import { dayOf, dayText, isoMs } from './calendar.ts';
import { BREAKDOWN_VARIANTS, COUNTER_ACTIONS, groupOf } from './edits.ts';
import type { Org } from './organizations.ts';
import type { Body } from './refusal.ts';
import { counterInput, dayInput, parseSettings } from './settings.ts';
import { truthOf } from './truth.ts';
import type { World } from './world.ts';

export interface ControlRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly text: string;
}

const SUCCESS = { success: true };

/**
 * Answers a control request of a test, which runs beside the API: returns the true numbers, the requests made and the
 * faults served, and changes the world. It needs no token; the server listens on loopback only. Input that makes no
 * sense is answered 400, so that no test runs on a world it did not ask for.
 */
export function answerControl(
  world: World,
  { method, path, query, text }: ControlRequest,
): { readonly status: number; readonly body: Body } {
  const name = path.slice('/control/'.length);
  const answer = { GET: READS, POST: CHANGES }[method]?.[name];
  if (answer === undefined) return { status: 404, body: { error: 'no such control path' } };
  try {
    const input: unknown =
      method === 'GET' ? Object.fromEntries(query) : JSON.parse(text === '' ? '{}' : text);
    return { status: 200, body: answer(world, input) };
  } catch (error) {
    if (error instanceof z.ZodError) return { status: 400, body: { error: z.prettifyError(error) } };
    if (error instanceof ControlError || error instanceof SyntaxError) {
      return { status: 400, body: { error: error.message } };
    }
    throw error;
  }
}

class ControlError extends Error {
  override readonly name = 'ControlError';
}

type Answer = (world: World, input: unknown) => Body;

/** Returns an answer to input of this form. */
function answerTo<T>(schema: z.ZodType<T>, answer: (world: World, input: T) => Body): Answer {
  return (world, input) => answer(world, schema.parse(input));
}

const pageInput = {
  orgId: z.string().optional(),
  page: z.coerce.number().int().min(0).default(0),
  perPage: z.coerce.number().int().min(1).max(1000).default(1000),
};

const READS: Readonly<Record<string, Answer>> = {
  /**
   * The expected rows from `from` to `to`, both inclusive, of one organization or of a page of those not
   * deleted.
   */
  truth: answerTo(z.strictObject({ ...pageInput, from: dayInput, to: dayInput }), (world, input) =>
    pageOf(world, input, world.organizations.living(), (org) => truthOf(world, org, input.from, input.to)),
  ),
  /** Every organization, including deleted ones, as the API describes it. */
  orgs: answerTo(z.strictObject(pageInput), (world, input) =>
    pageOf(world, input, world.organizations.all(), (org) => describeOrg(world, org)),
  ),
  /** The faults served, oldest first. */
  faults: answerTo(z.strictObject({ kind: z.string().optional() }), ({ ledger }, { kind }) => {
    const faults = ledger.served.filter((fault) => kind === undefined || fault.kind === kind);
    return { count: faults.length, faults };
  }),
  config: (world) => describeSettings(world),
  stats: ({ stats }) => ({ requests: stats.requests, actions: stats.actions, faults: stats.faults }),
};

const cellInput = { orgId: z.string(), day: dayInput };

const CHANGES: Readonly<Record<string, Answer>> = {
  config(world, input) {
    world.settings = { ...world.settings, ...parseSettings(input) };
    return describeSettings(world);
  },
  'stats/reset'({ stats }) {
    stats.reset();
    return SUCCESS;
  },

  /** Gives a day other numbers from now on. Answers how often it was restated. */
  restate: answerTo(
    z.strictObject({
      ...cellInput,
      counter: counterInput.optional(),
      times: z.int().min(1).default(1),
      sourcesOnly: z.boolean().default(false),
    }),
    (world, { orgId, day, counter, times, sourcesOnly }) => {
      const { key } = knownOrg(world, orgId);
      const groups = sourcesOnly ? (['sources'] as const) : countersOf(counter).map(groupOf);
      const restated = [...new Set(groups)].map((group) => [
        group,
        world.edits.restate(key, day, group, times),
      ]);
      return Object.fromEntries(restated) as Body;
    },
  ),
  /** Leaves the day without usage from now on, or no longer. */
  empty: answerTo(
    z.strictObject({ ...cellInput, counter: counterInput.optional(), empty: z.boolean().default(true) }),
    (world, { orgId, day, counter, empty }) => {
      const { key } = knownOrg(world, orgId);
      for (const action of countersOf(counter)) world.edits.setEmptied(key, day, groupOf(action), empty);
      return SUCCESS;
    },
  ),
  /** Leaves the day's bucket out of the action's answers from now on, or no longer. */
  omit: answerTo(
    z.strictObject({
      ...cellInput,
      action: counterInput.optional(),
      variant: z.enum(BREAKDOWN_VARIANTS).nullable().default(null),
      omit: z.boolean().default(true),
    }),
    (world, { orgId, day, action, variant, omit }) => {
      const { key } = knownOrg(world, orgId);
      // The breakdown is the only counter that can be asked for in several variants.
      const actions = variant === null ? countersOf(action) : (['payloadCountsBreakdown'] as const);
      for (const each of actions) world.edits.setOmitted(key, day, { action: each, variant }, omit);
      return SUCCESS;
    },
  ),
  /** Makes an hour of the day's payloads wrong in answers by hour alone; `by: 0` puts it right. */
  hour: answerTo(
    z.strictObject({
      ...cellInput,
      hour: z.int().min(0).max(23),
      by: z.number().default(0),
      omit: z.boolean().default(false),
    }),
    (world, { orgId, day, hour, by, omit }) => {
      world.edits.setHour(knownOrg(world, orgId).key, day, hour, { by, omitted: omit });
      return SUCCESS;
    },
  ),

  /** Adds an organization, created now if no date is given; `attributes` override those from the seed. */
  orgs: answerTo(
    z.strictObject({
      id: z
        .string()
        .regex(/^[A-Fa-f\d]{24}$/)
        .optional(),
      creationDate: z.iso.datetime().optional(),
      size: z.number().optional(),
      attributes: z.record(z.string(), z.unknown()).optional(),
    }),
    (world, { creationDate, ...wanted }) => {
      const createdMs = creationDate === undefined ? undefined : Date.parse(creationDate);
      const org = world.organizations.add({ ...wanted, createdMs }, world.now());
      if (org === null) throw new ControlError('the id is taken');
      return describeOrg(world, org);
    },
  ),
  /** Brings a deleted organization back as it was. */
  'orgs/restore': answerTo(z.strictObject({ orgId: z.string() }), (world, { orgId }) => {
    world.organizations.setDeleted(knownOrg(world, orgId), false);
    return SUCCESS;
  }),
  /** Overrides attributes of an organization with any JSON, valid by the API's schema or not. */
  attributes: answerTo(
    z.strictObject({ orgId: z.string(), attributes: z.record(z.string(), z.unknown()) }),
    (world, { orgId, attributes }) => {
      const org = knownOrg(world, orgId);
      return describeOrg(world, world.organizations.change(org, { ...org.attributes, ...attributes }));
    },
  ),

  tokens: answerTo(
    z.strictObject({
      token: z.string().min(1),
      scopes: z.array(z.string()),
      revoked: z.boolean().default(false),
      expiresAt: z.iso.datetime().nullable().default(null),
    }),
    (world, { token, scopes, revoked, expiresAt }) => {
      const expiresAtMs = expiresAt === null ? null : Date.parse(expiresAt);
      world.tokens.set(token, { scopes, revoked, expiresAtMs });
      return SUCCESS;
    },
  ),
  'tokens/revoke': answerTo(z.strictObject({ token: z.string() }), ({ tokens }, { token }) => {
    const grant = tokens.get(token);
    if (grant === undefined) throw new ControlError('there is no such token');
    tokens.set(token, { ...grant, revoked: true });
    return SUCCESS;
  }),
};

function countersOf(counter: (typeof COUNTER_ACTIONS)[number] | undefined) {
  return counter === undefined ? COUNTER_ACTIONS : [counter];
}

function describeSettings(world: World): Body {
  return { ...world.settings, now: isoMs(world.now()) };
}

function describeOrg(world: World, org: Org): Body {
  return {
    orgId: org.key,
    deleted: org.deleted,
    traits: org.traits,
    createdDay: dayText(dayOf(org.createdMs)),
    attributes: orgBody(world, org),
  };
}

function knownOrg(world: World, orgId: string): Org {
  const org = world.organizations.find(orgId);
  if (org === undefined) throw new ControlError(`there is no organization ${orgId}`);
  return org;
}

/** Returns one organization, or a page of those with these keys. */
function pageOf(
  world: World,
  { orgId, page, perPage }: { orgId?: string | undefined; page: number; perPage: number },
  keys: readonly string[],
  describe: (org: Org) => Body,
): Body {
  if (orgId !== undefined) return { orgs: [describe(knownOrg(world, orgId))] };
  const orgs = [...world.organizations.each(keys.slice(page * perPage, (page + 1) * perPage))];
  return { page, perPage, totalCount: keys.length, orgs: orgs.map(describe) };
}
