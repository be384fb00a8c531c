import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { type ApiRequest, type ApiResponse, handleRequest, matchRoute, type Route } from './api.ts';
import { isoMs } from './calendar.ts';
import { handleControl } from './control.ts';
import { createJsonResponse, DELIVERIES, deliver, runLater } from './delivery.ts';
import { FAULT_RESPONSES } from './fault-responses.ts';
import { type ChosenFault, type FaultKind, isDeliveryKind, isValueKind } from './faults.ts';
import { createInstanceMeter, type Meter } from './meter.ts';
import { createErrorBody } from './rejection.ts';
import { repeatKeys, type SpoiledBody, spoilBody, type ValueKind } from './value-faults.ts';
import type { World } from './world.ts';

interface HttpExchange extends ApiRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** Creates the handler of all requests: `/control/*` without delay, the API with its delay and faults. */
export function createHandler(world: World): RequestListener {
  const instanceMeter = createInstanceMeter(world);
  const isAdmitted = createRateLimit();
  const handle = (exchange: HttpExchange) => {
    const { res, method, path } = exchange;
    const { latencyMs, requestsPerSecond } = world.settings;
    if (method !== 'GET') world.version++;
    setDate(world, res);
    if (path.startsWith('/control/')) {
      const { status, body } = handleControl(world, exchange);
      return deliver(res, createJsonResponse(status, body));
    }
    if (requestsPerSecond !== null && !isAdmitted(requestsPerSecond)) {
      world.stats.count(matchRoute(method, path)?.action ?? 'unmapped', '429');
      const body = createErrorBody('TooManyRequests', 'Too many requests');
      return deliver(res, createJsonResponse(429, body, { 'Retry-After': '1' }));
    }
    const respond = () => handleApi(world, exchange, instanceMeter);
    if (latencyMs > 0) runLater(res, latencyMs, respond);
    else respond();
  };
  return (req, res) => {
    const { method = 'GET', url = '/' } = req;
    const { authorization } = req.headers;
    const [path = '/', ...query] = url.split('?');
    const request = { method, path, query: new URLSearchParams(query.join('?')), authorization };
    const end = () => res.destroy();
    text(req).then((body) => handle({ ...request, text: body, req, res }), end);
  };
}

/** Creates a function that returns whether a request is within the rate of any second. */
function createRateLimit(): (perSecond: number) => boolean {
  let admittedMs: number[] = [];
  return (perSecond) => {
    // The monotonic clock, because tests change the world's.
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

function moveClockIfDue(world: World): void {
  const { clock, clockJump } = world.settings;
  if (clockJump === null) return;
  const { afterRequests, byMs } = clockJump;
  world.settings =
    afterRequests > 0
      ? { ...world.settings, clockJump: { afterRequests: afterRequests - 1, byMs } }
      : { ...world.settings, clockJump: null, clock: { offsetMs: clock.offsetMs + byMs } };
}

function handleApi(world: World, exchange: HttpExchange, instanceMeter: Meter): void {
  moveClockIfDue(world);
  setDate(world, exchange.res);
  const route = matchRoute(exchange.method, exchange.path);
  const response = handleRequest(world, route, exchange, instanceMeter);
  const fault = route === null ? null : chooseFault(world, exchange, route, response);
  if (route !== null && fault !== null) return deliverFault(world, { exchange, route, response }, fault);
  deliver(exchange.res, createJsonResponse(response.status, response.body));
  world.stats.count(route?.action ?? 'unmapped', String(response.status));
}

/** Returns the fault of a response; null for 401 and 403, which no fault may hide. */
function chooseFault(world: World, request: ApiRequest, route: Route, response: ApiResponse): ChosenFault | null {
  const { faults: plans } = world.settings;
  const isRejected = response.status === 401 || response.status === 403;
  if (request.method !== 'GET' || plans.length === 0 || isRejected) return null;
  const isPossible = (kind: FaultKind) => !isValueKind(kind) || spoilResponse(kind, response, 0) !== null;
  return world.faults.choose(plans, { ...request, ...route, isPossible });
}

function spoilResponse(kind: ValueKind, { body, window }: ApiResponse, pick: number): SpoiledBody | null {
  return window === undefined ? null : spoilBody(kind, body, window, pick);
}

function deliverFault(
  world: World,
  { exchange, route, response }: { exchange: HttpExchange; route: Route; response: ApiResponse },
  { kind, plan, pick }: ChosenFault,
): void {
  const { req, res } = exchange;
  const { action } = route;
  const nowMs = world.now();
  const faultyBody = isValueKind(kind) ? spoilResponse(kind, response, pick) : null;
  const orgId = route.orgId?.toLowerCase() ?? null;
  world.faults.served.push({ at: isoMs(nowMs), kind, action, orgId, day: faultyBody?.day ?? null });
  world.stats.countFault(kind);
  res.setHeader('x-simulated-fault', kind);
  const good = createJsonResponse(response.status, faultyBody?.body ?? response.body);
  const url = `http://${req.headers.host ?? '127.0.0.1'}`;
  const acceptsGzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
  const context = { ...plan, pick, nowMs, url, acceptsGzip };
  if (isDeliveryKind(kind)) {
    DELIVERIES[kind](res, good, context);
    world.stats.count(action, kind === 'reset' || kind === 'hang' ? kind : String(good.status));
    return;
  }
  const faultResponse = isValueKind(kind)
    ? { ...good, text: repeatKeys(good.text) }
    : FAULT_RESPONSES[kind](good, context);
  deliver(res, faultResponse);
  world.stats.count(action, String(faultResponse.status));
}
