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
  const admits = createRateLimit();
  const answer = (exchange: Exchange) => {
    const { res, method, path } = exchange;
    const { requestsPerSecond, latencyMs } = world.settings;
    if (method !== 'GET') world.version++;
    setDate(world, res);
    if (path.startsWith('/control/')) {
      const { status, body } = answerControl(world, exchange);
      return deliver(res, jsonReply(status, body));
    }
    // The monotonic clock, because the world's may be set.
    if (!admits(requestsPerSecond, performance.now())) return refuseForRate(world, exchange);
    const answerNow = () => answerApi(world, exchange, instanceMeter);
    if (latencyMs > 0) later(res, latencyMs, answerNow);
    else answerNow();
  };
  return (req, res) => {
    const { method = 'GET', url = '/' } = req;
    const { authorization } = req.headers;
    const [path = '/', ...query] = url.split('?');
    const request = { method, path, query: new URLSearchParams(query.join('?')), authorization };
    text(req).then(
      (body) => answer({ ...request, text: body, req, res }),
      () => res.destroy(),
    );
  };
}

/** Returns a test of whether a request is one of the first `perSecond` within any second; refused ones do not count. */
function createRateLimit(): (perSecond: number | null, nowMs: number) => boolean {
  let admittedMs: number[] = [];
  return (perSecond, nowMs) => {
    if (perSecond === null) return true;
    admittedMs = admittedMs.filter((ms) => nowMs - ms < 1_000);
    if (admittedMs.length >= perSecond) return false;
    admittedMs.push(nowMs);
    return true;
  };
}

function refuseForRate(world: World, { res, method, path }: Exchange): void {
  const body = errorBody('TooManyRequests', 'Too many requests');
  deliver(res, jsonReply(429, body, { 'Retry-After': '1' }));
  world.stats.count(matchRoute(method, path)?.action ?? 'unmapped', '429');
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
  const outcome = fault === null ? String(answer.status) : deliverFaulty(world, exchange, answer, fault);
  if (fault === null) deliver(exchange.res, jsonReply(answer.status, answer.body));
  world.stats.count(route?.action ?? 'unmapped', outcome);
}

type RoutedFault = ChosenFault & { readonly route: Route };

/** Returns the fault that an answer meets. One refused for its token meets none: nothing may hide a 401 or 403. */
function faultFor(world: World, request: ApiRequest, route: Route, answer: ApiAnswer): RoutedFault | null {
  const { faults: plans } = world.settings;
  const isRefused = answer.status === 401 || answer.status === 403;
  if (request.method !== 'GET' || plans.length === 0 || isRefused) return null;
  const isPossible = (kind: FaultKind) => !isValueKind(kind) || spoilAnswer(kind, answer, 0) !== null;
  const fault = world.faults.choose(plans, { ...request, ...route, isPossible });
  return fault === null ? null : { ...fault, route };
}

function spoilAnswer(kind: ValueKind, { body, window }: ApiAnswer, pick: number): Spoiled | null {
  return window === undefined ? null : spoil(kind, body, window, pick);
}

/** Delivers an answer with its fault. Returns the outcome for the statistics. */
function deliverFaulty(
  world: World,
  { req, res }: Exchange,
  answer: ApiAnswer,
  { kind, plan, pick, route }: RoutedFault,
): string {
  const nowMs = world.now();
  const { status } = answer;
  const spoiled = isValueKind(kind) ? spoilAnswer(kind, answer, pick) : null;
  const { day = null, field = null } = spoiled ?? {};
  const orgId = route.orgId?.toLowerCase() ?? null;
  world.stats.countFault(kind);
  world.faults.served.push({ at: isoMs(nowMs), kind, action: route.action, orgId, day });
  res.setHeader('x-simulated-fault', spoiled === null ? kind : `${kind}; day=${day}; field=${field ?? ''}`);
  const good = jsonReply(status, spoiled?.body ?? answer.body);
  if (isDeliveryKind(kind)) {
    const acceptsGzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
    const { slowMs = 60_000, hugeBytes = 64 * 2 ** 20 } = plan;
    DELIVERIES[kind](res, good, { slowMs, hugeBytes, acceptsGzip, pick });
    return kind === 'reset' || kind === 'hang' ? kind : String(status);
  }
  const url = `http://${req.headers.host ?? '127.0.0.1'}`;
  const { retryAfterSeconds = 1 } = plan;
  const reply = isValueKind(kind)
    ? { ...good, text: repeatKeys(good.text) }
    : ANSWERS[kind]({ good, nowMs, url, retryAfterSeconds, pick });
  deliver(res, reply);
  return String(reply.status);
}
