import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { type ApiAnswer, type ApiRequest, answerRequest, matchRoute, type Route } from './api.ts';
import { isoMs } from './calendar.ts';
import { answerControl } from './control.ts';
import { DELIVERIES, deliver, jsonReply, later } from './deliver.ts';
import { ANSWERS } from './fault-replies.ts';
import { type ChosenFault, type FaultKind, isDeliveryKind, isValueKind } from './faults.ts';
import { createInstanceMeter, type Meter } from './meter.ts';
import { errorBody } from './refusal.ts';
import { repeatKeys, type Spoiled, spoil, type ValueKind } from './value-faults.ts';
import type { World } from './world.ts';

interface Exchange extends ApiRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/**
 * Returns the handler of all requests to the simulator: `/control/*` is answered at once, the API with
 * its delay and its faults.
 */
export function createHandler(world: World): RequestListener {
  const instanceMeter = createInstanceMeter(world);
  const isAdmitted = createRateLimit();
  const answer = (exchange: Exchange) => {
    const { res, method, path } = exchange;
    const { latencyMs, requestsPerSecond } = world.settings;
    if (method !== 'GET') world.version++;
    setDate(world, res);
    if (path.startsWith('/control/')) {
      const { status, body } = answerControl(world, exchange);
      return deliver(res, jsonReply(status, body));
    }
    if (requestsPerSecond !== null && !isAdmitted(requestsPerSecond)) {
      world.stats.count(matchRoute(method, path)?.action ?? 'unmapped', '429');
      const body = errorBody('TooManyRequests', 'Too many requests');
      return deliver(res, jsonReply(429, body, { 'Retry-After': '1' }));
    }
    const answerNow = () => answerApi(world, exchange, instanceMeter);
    if (latencyMs > 0) later(res, latencyMs, answerNow);
    else answerNow();
  };
  return (req, res) => {
    const { method = 'GET', url = '/' } = req;
    const { authorization } = req.headers;
    const [path = '/', ...query] = url.split('?');
    const request = { method, path, query: new URLSearchParams(query.join('?')), authorization };
    const end = () => res.destroy();
    text(req).then((body) => answer({ ...request, text: body, req, res }), end);
  };
}

/** Returns a test of whether a request that comes now is one of the first within any second. */
function createRateLimit(): (perSecond: number) => boolean {
  let admittedMs: number[] = [];
  return (perSecond) => {
    // The monotonic clock, because the world's may be set.
    const nowMs = performance.now();
    admittedMs = admittedMs.filter((ms) => nowMs - ms < 1_000);
    if (admittedMs.length >= perSecond) return false;
    admittedMs.push(nowMs);
    return true;
  };
}

function setDate({ now, settings }: World, res: ServerResponse): void {
  res.setHeader('Date', new Date(now() + settings.dateOffsetMs).toUTCString());
}

/** Moves the clock before an answer, if a jump is due. */
function countDownToJump(world: World): void {
  const { clock, clockJump } = world.settings;
  if (clockJump === null) return;
  const { afterRequests, byMs } = clockJump;
  world.settings =
    afterRequests > 0
      ? { ...world.settings, clockJump: { afterRequests: afterRequests - 1, byMs } }
      : { ...world.settings, clockJump: null, clock: { offsetMs: clock.offsetMs + byMs } };
}

function answerApi(world: World, exchange: Exchange, instanceMeter: Meter): void {
  countDownToJump(world);
  setDate(world, exchange.res);
  const route = matchRoute(exchange.method, exchange.path);
  const answer = answerRequest(world, route, exchange, instanceMeter);
  const fault = route === null ? null : faultFor(world, exchange, route, answer);
  if (route !== null && fault !== null) return deliverFaulty(world, { exchange, route, answer }, fault);
  deliver(exchange.res, jsonReply(answer.status, answer.body));
  world.stats.count(route?.action ?? 'unmapped', String(answer.status));
}

/** Returns the fault that an answer meets. One refused for its token meets none: nothing may hide a 401 or 403. */
function faultFor(world: World, request: ApiRequest, route: Route, answer: ApiAnswer): ChosenFault | null {
  const { faults: plans } = world.settings;
  const isRefused = answer.status === 401 || answer.status === 403;
  if (request.method !== 'GET' || plans.length === 0 || isRefused) return null;
  const isPossible = (kind: FaultKind) => !isValueKind(kind) || spoilAnswer(kind, answer, 0) !== null;
  return world.faults.choose(plans, { ...request, ...route, isPossible });
}

function spoilAnswer(kind: ValueKind, { body, window }: ApiAnswer, pick: number): Spoiled | null {
  return window === undefined ? null : spoil(kind, body, window, pick);
}

function deliverFaulty(
  world: World,
  { exchange, route, answer }: { exchange: Exchange; route: Route; answer: ApiAnswer },
  { kind, plan, pick }: ChosenFault,
): void {
  const { req, res } = exchange;
  const { action } = route;
  const nowMs = world.now();
  const spoiled = isValueKind(kind) ? spoilAnswer(kind, answer, pick) : null;
  const orgId = route.orgId?.toLowerCase() ?? null;
  world.faults.served.push({ at: isoMs(nowMs), kind, action, orgId, day: spoiled?.day ?? null });
  world.stats.countFault(kind);
  res.setHeader('x-simulated-fault', kind);
  const good = jsonReply(answer.status, spoiled?.body ?? answer.body);
  const url = `http://${req.headers.host ?? '127.0.0.1'}`;
  const acceptsGzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
  const context = { ...plan, pick, nowMs, url, acceptsGzip };
  if (isDeliveryKind(kind)) {
    DELIVERIES[kind](res, good, context);
    world.stats.count(action, kind === 'reset' || kind === 'hang' ? kind : String(good.status));
    return;
  }
  const reply = isValueKind(kind) ? { ...good, text: repeatKeys(good.text) } : ANSWERS[kind](good, context);
  deliver(res, reply);
  world.stats.count(action, String(reply.status));
}
