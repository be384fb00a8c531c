import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { type ApiAnswer, answerRequest, unmapped } from './api.ts';
import { isoMs } from './calendar.ts';
import { answerControl } from './control.ts';
import { ControlError } from './control-input.ts';
import { deliver, deliverBadly, jsonReply, later, type Reply } from './deliver.ts';
import { faultReply } from './fault-replies.ts';
import { type ChosenFault, chooseFault, isReplyKind, isValueKind, requestIdentity } from './faults.ts';
import { createInstanceMeter } from './instance-meter.ts';
import type { Meter } from './meter.ts';
import { createRateLimit, type RateLimit } from './rate-limit.ts';
import { matchRoute, type Route } from './routes.ts';
import { canTamper, repeatKeys, tamper } from './tamper.ts';
import type { World } from './world.ts';

/** The largest body of a PATCH or a control request. */
const MAX_BODY_BYTES = 2 ** 20;

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly queryText: string;
  readonly query: URLSearchParams;
}

/**
 * Returns the handler of all requests to the simulator: `/control/*` is answered at once, the API with
 * its delay and its faults.
 */
export function createHandler(world: World): RequestListener {
  const instanceMeter = createInstanceMeter(world);
  const rateLimit = createRateLimit();
  return (req, res) => {
    const { path, queryText } = splitUrl(req.url ?? '/');
    const query = new URLSearchParams(queryText);
    const exchange: Exchange = { req, res, method: req.method ?? 'GET', path, queryText, query };
    if (path.startsWith('/control/')) {
      setDate(world, res);
      return withBody(exchange, (text) => control(world, exchange, text));
    }
    world.stats.begin();
    res.once('close', () => world.stats.end());
    if (!isAdmitted(world, rateLimit)) return refuseForRate(world, exchange);
    withBody(exchange, (text) => {
      const answer = () => {
        countDownToJump(world);
        setDate(world, res);
        api(world, exchange, text, instanceMeter);
      };
      if (world.config.latencyMs > 0) later(res, world.config.latencyMs, answer);
      else answer();
    });
  };
}

/**
 * Whether the rate limit admits a request. It uses the monotonic clock, because the world's may be set
 * or frozen.
 */
function isAdmitted({ config }: World, rateLimit: RateLimit): boolean {
  const { requestsPerSecond } = config;
  return requestsPerSecond === null || rateLimit(requestsPerSecond, performance.now());
}

function refuseForRate(world: World, { req, res, method, path }: Exchange): void {
  req.resume();
  setDate(world, res);
  res.setHeader('Retry-After', '1');
  const body = { type: 'TooManyRequests', message: 'Too many requests' };
  world.stats.count(matchRoute(method, path)?.action ?? 'unmapped', send(res, jsonReply(429, body)), null);
}

function setDate({ clock, config }: World, res: ServerResponse): void {
  res.sendDate = config.sendsDate;
  if (config.sendsDate) res.setHeader('Date', new Date(clock.now() + config.dateOffsetMs).toUTCString());
}

/** Moves the clock after an answer, if a jump is due. */
function countDownToJump(world: World): void {
  const { clockJump } = world.config;
  if (clockJump === null) return;
  if (clockJump.afterRequests > 0) {
    world.config.clockJump = { ...clockJump, afterRequests: clockJump.afterRequests - 1 };
    return;
  }
  world.config.clockJump = null;
  world.clock.jump(clockJump.byMs);
}

function splitUrl(url: string): { path: string; queryText: string } {
  const mark = url.indexOf('?');
  return mark < 0
    ? { path: url, queryText: '' }
    : { path: url.slice(0, mark), queryText: url.slice(mark + 1) };
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

function control(world: World, { res, method, path, query }: Exchange, text: string): void {
  try {
    const body = answerControl(world, { method, path, query, text });
    deliver(res, body === null ? jsonReply(404, { error: 'no such control path' }) : jsonReply(200, body));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    deliver(res, jsonReply(400, { error: error.message }));
  }
}

function api(world: World, exchange: Exchange, text: string, instanceMeter: Meter): void {
  const { req, method, path, query } = exchange;
  const route = matchRoute(method, path);
  const authorization = req.headers.authorization;
  const answer =
    route === null
      ? unmapped(method)
      : answerRequest(world, route, { method, path, query, authorization, text }, instanceMeter);
  const outcome =
    route !== null && method === 'GET' && world.config.faults.length > 0
      ? deliverWithFaults(world, exchange, route, answer)
      : send(exchange.res, jsonReply(answer.status, answer.body));
  // Unknown organizations must not fill the statistics.
  const org = route?.orgId ? world.population.find(route.orgId) : undefined;
  world.stats.count(route?.action ?? 'unmapped', outcome, org?.number ?? null);
}

/**
 * Delivers an answer, with a fault if one is chosen. A request refused for its token gets none:
 * nothing may hide a 401 or 403.
 */
function deliverWithFaults(world: World, exchange: Exchange, route: Route, answer: ApiAnswer): string {
  if (answer.status === 401 || answer.status === 403)
    return send(exchange.res, jsonReply(answer.status, answer.body));
  const identity = requestIdentity(exchange.method, exchange.path, exchange.query);
  const { nth, inRow } = world.ledger.ask(identity);
  const fault = chooseFault(world.config.faults, {
    seed: world.seed,
    identity,
    nth,
    inRow,
    action: route.action,
    orgId: route.orgId,
    possible: (kind) => !isValueKind(kind) || (answer.window !== undefined && canTamper(kind, answer.body)),
  });
  world.ledger.settle(identity, fault !== null);
  return fault === null
    ? send(exchange.res, jsonReply(answer.status, answer.body))
    : deliverFaulty(world, { exchange, route, answer, nth }, fault);
}

function deliverFaulty(
  world: World,
  { exchange, route, answer, nth }: { exchange: Exchange; route: Route; answer: ApiAnswer; nth: number },
  fault: ChosenFault,
): string {
  const { req, res, method, path, queryText } = exchange;
  const { kind, pick } = fault;
  const tampered =
    isValueKind(kind) && answer.window !== undefined ? tamper(kind, answer.body, answer.window, pick) : null;
  const nowMs = world.clock.now();
  world.stats.countFault(kind);
  world.ledger.record({
    at: isoMs(nowMs),
    kind,
    action: route.action,
    method,
    path,
    query: queryText,
    orgId: route.orgId?.toLowerCase() ?? null,
    nth,
    day: tampered?.day ?? null,
    field: tampered?.field ?? null,
  });
  const named = tampered === null ? kind : `${kind}; day=${tampered.day}; field=${tampered.field ?? ''}`;
  res.setHeader('x-simulated-fault', named);
  const reply = jsonReply(answer.status, tampered?.body ?? answer.body);
  if (isValueKind(kind)) return send(res, { ...reply, text: repeatKeys(reply.text) });
  if (isReplyKind(kind)) {
    const url = `http://${req.headers.host ?? '127.0.0.1'}`;
    return send(res, faultReply(kind, fault, { nowMs, url, good: reply }));
  }
  const gzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
  return deliverBadly(res, reply, { ...fault, kind }, gzip);
}

function send(res: ServerResponse, reply: Reply): string {
  deliver(res, reply);
  return String(reply.status);
}
