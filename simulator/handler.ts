import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { type ApiAnswer, answerRequest, matchRoute, type Route } from './api.ts';
import { isoMs } from './calendar.ts';
import { answerControl } from './control.ts';
import { DELIVERIES, deliver, jsonReply, later } from './deliver.ts';
import { ANSWERS } from './fault-replies.ts';
import { type ChosenFault, chooseFault, isDeliveryKind, isValueKind, requestIdentity } from './faults.ts';
import { createInstanceMeter, type Meter } from './meter.ts';
import { canSpoil, repeatKeys, spoil } from './value-faults.ts';
import type { World } from './world.ts';

/** The largest body of a PATCH or a control request. */
const MAX_BODY_BYTES = 2 ** 20;

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/**
 * Returns the handler of all requests to the simulator: `/control/*` is answered at once, the API with
 * its delay and its faults.
 */
export function createHandler(world: World): RequestListener {
  const instanceMeter = createInstanceMeter(world);
  const admits = createRateLimit();
  return (req, res) => {
    const [path = '/', ...queryText] = (req.url ?? '/').split('?');
    const query = new URLSearchParams(queryText.join('?'));
    const exchange: Exchange = { req, res, method: req.method ?? 'GET', path, query };
    if (path.startsWith('/control/')) {
      setDate(world, res);
      return withBody(exchange, (text) => {
        const { status, body } = answerControl(world, { ...exchange, text });
        deliver(res, jsonReply(status, body));
      });
    }
    // The monotonic clock, because the world's may be set.
    if (!admits(world.settings.requestsPerSecond, performance.now())) return refuseForRate(world, exchange);
    withBody(exchange, (text) => {
      const answer = () => {
        countDownToJump(world);
        setDate(world, res);
        answerApi(world, exchange, text, instanceMeter);
      };
      if (world.settings.latencyMs > 0) later(res, world.settings.latencyMs, answer);
      else answer();
    });
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

function refuseForRate(world: World, { req, res, method, path }: Exchange): void {
  req.resume();
  setDate(world, res);
  const body = { type: 'TooManyRequests', message: 'Too many requests' };
  deliver(res, jsonReply(429, body, { 'Retry-After': '1' }));
  world.stats.count(matchRoute(method, path)?.action ?? 'unmapped', '429');
}

function setDate({ now, settings }: World, res: ServerResponse): void {
  res.sendDate = settings.sendsDate;
  if (settings.sendsDate) res.setHeader('Date', new Date(now() + settings.dateOffsetMs).toUTCString());
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

/** Reads the body, if the method has one, and passes it on. A body beyond the bound ends the connection. */
function withBody({ req, method }: Exchange, next: (text: string) => void): void {
  if (method === 'GET') return next('');
  const chunks: Buffer[] = [];
  let bytes = 0;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) req.destroy();
    else chunks.push(chunk);
  });
  req.on('end', () => next(Buffer.concat(chunks).toString('utf8')));
}

function answerApi(world: World, exchange: Exchange, text: string, instanceMeter: Meter): void {
  const route = matchRoute(exchange.method, exchange.path);
  const { authorization } = exchange.req.headers;
  const answer = answerRequest(world, route, { ...exchange, authorization, text }, instanceMeter);
  const fault = faultFor(world, exchange, route, answer);
  const outcome = fault === null ? String(answer.status) : deliverFaulty(world, exchange, answer, fault);
  if (fault === null) deliver(exchange.res, jsonReply(answer.status, answer.body));
  world.stats.count(route?.action ?? 'unmapped', outcome);
}

type RoutedFault = ChosenFault & { readonly route: Route };

/** Returns the fault that an answer meets. One refused for its token meets none: nothing may hide a 401 or 403. */
function faultFor(
  world: World,
  { method, path, query }: Exchange,
  route: Route | null,
  answer: ApiAnswer,
): RoutedFault | null {
  const { faults } = world.settings;
  if (route === null || method !== 'GET' || faults.length === 0) return null;
  if (answer.status === 401 || answer.status === 403) return null;
  const identity = requestIdentity(method, path, query);
  const fault = chooseFault(faults, {
    ...world.ledger.ask(identity),
    seed: world.seed,
    identity,
    action: route.action,
    orgId: route.orgId,
    possible: (kind) => !isValueKind(kind) || (answer.window !== undefined && canSpoil(kind, answer.body)),
  });
  world.ledger.settle(identity, fault !== null);
  return fault === null ? null : { ...fault, route };
}

/** Delivers an answer with its fault. Returns the outcome for the statistics. */
function deliverFaulty(
  world: World,
  { req, res }: Exchange,
  { status, body, window }: ApiAnswer,
  { kind, plan, pick, route }: RoutedFault,
): string {
  const nowMs = world.now();
  const spoiled = isValueKind(kind) && window !== undefined ? spoil(kind, body, window, pick) : null;
  const { day = null, field = null } = spoiled ?? {};
  const orgId = route.orgId?.toLowerCase() ?? null;
  world.stats.countFault(kind);
  world.ledger.served.push({ at: isoMs(nowMs), kind, action: route.action, orgId, day });
  res.setHeader('x-simulated-fault', spoiled === null ? kind : `${kind}; day=${day}; field=${field ?? ''}`);
  const good = jsonReply(status, spoiled?.body ?? body);
  if (isDeliveryKind(kind)) {
    const acceptsGzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
    const { slowMs = 60_000, hugeBytes = 64 * 2 ** 20 } = plan;
    DELIVERIES[kind](res, good, { slowMs, hugeBytes, acceptsGzip, pick });
    return kind === 'reset' || kind === 'hang' ? kind : String(status);
  }
  const url = `http://${req.headers.host ?? '127.0.0.1'}`;
  const { retryAfterSeconds = 1, ageSeconds = 3.5 * 86_400 } = plan;
  const reply = isValueKind(kind)
    ? { ...good, text: repeatKeys(good.text) }
    : ANSWERS[kind]({ good, nowMs, url, retryAfterSeconds, ageSeconds, pick });
  deliver(res, reply);
  return String(reply.status);
}
