import { z } from 'zod';
import { type ApiAnswer, type ApiRequest, orgBody } from './api.ts';
import { dayOf, dayText } from './calendar.ts';
import { BREAKDOWN_VARIANTS, COUNTER_ACTIONS, type DayEdits, groupOf } from './edits.ts';
import type { Org } from './organizations.ts';
import { type Body, invalid, Refusal } from './refusal.ts';
import { changeSettings, counterInput, dayInput } from './settings.ts';
import { truthOf } from './truth.ts';
import { Stats, type World } from './world.ts';

type Answer = (world: World, input: unknown) => Body | void;

/**
 * Answers a control request of a test, which runs beside the API: returns the true numbers, the
 * requests made and the faults served, and changes the world. It needs no token; the server listens on
 * loopback only. Input that makes no sense is answered 400, so that no test runs on a world it did not
 * ask for.
 */
export function answerControl(world: World, { method, path, query, text }: ApiRequest): ApiAnswer {
  const answer = { GET: READS, POST: CHANGES }[method]?.[path.slice('/control/'.length)];
  if (answer === undefined) return { status: 404, body: { error: 'no such control path' } };
  try {
    const input: unknown = method === 'GET' ? Object.fromEntries(query) : JSON.parse(text || '{}');
    return { status: 200, body: answer(world, input) ?? { success: true } };
  } catch (error) {
    if (error instanceof z.ZodError) return { status: 400, body: { error: z.prettifyError(error) } };
    if (!(error instanceof Refusal || error instanceof SyntaxError)) throw error;
    return { status: 400, body: { error: error.message } };
  }
}

/** Returns an answer to input of this form. */
function answerTo<T>(schema: z.ZodType<T>, answer: (world: World, input: T) => Body | void): Answer {
  return (world, input) => answer(world, schema.parse(input));
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

const READS: Readonly<Record<string, Answer>> = {
  /** The rows that an export must store, of one organization or of a page of those not deleted. */
  truth: answerTo(truthInput, (world, { from, to, orgId, page, perPage }) => {
    const truth = (org: Org) => truthOf(world, org, from, to);
    if (orgId !== undefined) return { orgs: [truth(knownOrg(world, orgId))] };
    const keys = world.organizations.living();
    const orgs = [...world.organizations.each(keys.slice(page * perPage, (page + 1) * perPage))];
    return { page, perPage, totalCount: keys.length, orgs: orgs.map(truth) };
  }),
  /** Every organization, including deleted ones, as the API describes it. */
  orgs: (world) => {
    const orgs = [...world.organizations.each(world.organizations.all())];
    return { totalCount: orgs.length, orgs: orgs.map((org) => describeOrg(world, org)) };
  },
  /** The faults served, oldest first. */
  faults: answerTo(z.strictObject({ kind: z.string().optional() }), (world, { kind }) => {
    const faults = world.faults.served.filter((fault) => kind === undefined || fault.kind === kind);
    return { count: faults.length, faults };
  }),
  config: ({ settings }) => settings,
  stats: ({ stats: { requests, actions, faults } }) => ({ requests, actions, faults }),
};

/** One counter, or all of them if none is named. */
const countersInput = counterInput.transform((counter) => [counter]).default([...COUNTER_ACTIONS]);

/** Returns the form of a change of one organization's day. */
const cellInput = <S extends z.ZodRawShape>(more: S) =>
  z.strictObject({ orgId: z.string(), day: dayInput, ...more });

const CHANGES: Readonly<Record<string, Answer>> = {
  config(world, input) {
    world.settings = changeSettings(world.settings, input);
    return world.settings;
  },
  'stats/reset'(world) {
    world.stats = new Stats();
  },

  /** Gives a day other numbers from now on. */
  restate: answerTo(
    cellInput({
      counter: countersInput,
      times: z.int().min(1).default(1),
      sourcesOnly: z.boolean().default(false),
    }),
    (world, { counter, times, sourcesOnly, ...cell }) => {
      const { restated } = editsOf(world, cell);
      const groups = new Set(sourcesOnly ? (['sources'] as const) : counter.map(groupOf));
      for (const group of groups) restated[group] += times;
    },
  ),
  /** Leaves the day without usage from now on, or no longer. */
  empty: answerTo(
    cellInput({ counter: countersInput, empty: z.boolean().default(true) }),
    (world, { counter, empty, ...cell }) => {
      const { emptied } = editsOf(world, cell);
      for (const group of counter.map(groupOf)) {
        if (empty) emptied.add(group);
        else emptied.delete(group);
      }
    },
  ),
  /** Leaves the day's bucket out of the action's answers from now on, or no longer. */
  omit: answerTo(
    cellInput({
      action: countersInput,
      variant: z.enum(BREAKDOWN_VARIANTS).nullable().default(null),
      omit: z.boolean().default(true),
    }),
    (world, { action, variant, omit, ...cell }) => {
      const edits = editsOf(world, cell);
      // The breakdown is the only counter that can be asked for in several variants.
      const actions = variant === null ? action : (['payloadCountsBreakdown'] as const);
      for (const each of actions) edits.setOmitted({ action: each, variant }, omit);
    },
  ),
  /** Makes an hour of the day's payloads wrong in answers by hour alone; `by: 0` puts it right. */
  hour: answerTo(
    cellInput({ hour: z.int().min(0).max(23), by: z.number().default(0) }),
    (world, { hour, by, ...cell }) => void editsOf(world, cell).hours.set(hour, by),
  ),

  /** Adds an organization, created now if no date is given; `attributes` override those from the seed. */
  orgs: answerTo(
    z.strictObject({
      id: idInput.optional(),
      creationDate: instantInput.optional(),
      size: z.number().optional(),
      attributes: z.record(z.string(), z.unknown()).optional(),
    }),
    (world, { creationDate, ...wanted }) => {
      const org = world.organizations.add({ ...wanted, createdMs: creationDate }, world.now());
      if (org === null) throw invalid('id', 'is taken');
      return describeOrg(world, org);
    },
  ),
  /** Brings a deleted organization back as it was. */
  'orgs/restore': answerTo(
    z.strictObject({ orgId: z.string() }),
    (world, { orgId }) => void world.organizations.change(knownOrg(world, orgId), { deleted: false }),
  ),
  /** Overrides attributes of an organization with any JSON, valid by the API's schema or not. */
  attributes: answerTo(
    z.strictObject({ orgId: z.string(), attributes: z.record(z.string(), z.unknown()) }),
    (world, { orgId, attributes }) => {
      const org = knownOrg(world, orgId);
      const changed = { attributes: { ...org.attributes, ...attributes } };
      return describeOrg(world, world.organizations.change(org, changed));
    },
  ),

  tokens: answerTo(
    z.strictObject({
      token: z.string().min(1),
      scopes: z.array(z.string()),
      revoked: z.boolean().default(false),
    }),
    ({ tokens }, { token, scopes, revoked }) => {
      if (revoked) tokens.delete(token);
      else tokens.set(token, scopes);
    },
  ),
  'tokens/revoke': answerTo(z.strictObject({ token: z.string() }), ({ tokens }, { token }) => {
    if (!tokens.delete(token)) throw invalid('token', 'is unknown');
  }),
};

/** Returns the changes of an organization's day, to be added to. */
function editsOf(world: World, { orgId, day }: { orgId: string; day: number }): DayEdits {
  return world.edits.change(knownOrg(world, orgId).key, day);
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
  if (org === undefined) throw invalid('orgId', `there is no organization ${orgId}`);
  return org;
}
