import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { errorBody } from './bodies.ts';
import { type ChosenFault, type TransportKind } from './faults.ts';

/** What is sent when nothing is wrong with the connection. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface DeliveryContext {
  readonly nowMs: number;
  /** Of the simulator, without a slash at the end. */
  readonly url: string;
  /** The client can unpack gzip. */
  readonly gzip: boolean;
}

export function jsonReply(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    text: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
  };
}

/** Sends the reply whole. */
export function deliver(res: ServerResponse, reply: Reply): void {
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': Buffer.byteLength(reply.text) });
  res.end(reply.text);
}

const SLOW_MS = 60_000;
const HUGE_BYTES = 64 * 2 ** 20;

/** Sends the fault instead of, or on top of, the reply; gives the outcome for the statistics. */
export function deliverFault(
  res: ServerResponse,
  reply: Reply,
  fault: ChosenFault,
  context: DeliveryContext,
): string {
  const { plan, pick } = fault;
  const kind = fault.kind as TransportKind;
  const named = { 'x-simulated-fault': kind };
  const status = statusFault(kind, fault, context);
  if (status !== null) {
    deliver(res, { ...status, headers: { ...status.headers, ...named } });
    return String(status.status);
  }
  const good: Reply = { ...reply, headers: { ...reply.headers, ...named } };
  switch (kind) {
    case 'reset':
      res.socket?.resetAndDestroy();
      return kind;
    case 'hang':
      later(res, plan.slowMs ?? SLOW_MS, () => res.socket?.destroy());
      return kind;
    case 'cut_body':
      return cutBody(res, good);
    case 'slow_body':
      return dribble(res, good, plan.slowMs ?? SLOW_MS);
    case 'not_json':
      deliver(res, { ...good, text: good.text.slice(0, 1 + (pick % Math.max(1, good.text.length - 1))) });
      return String(good.status);
    case 'empty_body':
      deliver(res, { ...good, text: '' });
      return String(good.status);
    default:
      return sendHuge(res, good, plan.hugeBytes ?? HUGE_BYTES, context.gzip);
  }
}

/** The faults that are a complete answer of their own. */
function statusFault(
  kind: TransportKind,
  { plan, pick }: ChosenFault,
  { nowMs, url }: DeliveryContext,
): Reply | null {
  const seconds = plan.retryAfterSeconds ?? 1;
  const retryAfter = { 'Retry-After': String(seconds) };
  const html = { 'Content-Type': 'text/html; charset=utf-8' };
  const limited = errorBody('RateLimit', 'Too many requests');
  const unavailable = errorBody('ServiceUnavailable', 'Service is unavailable');
  switch (kind) {
    case 'rate_limit':
      return jsonReply(429, limited);
    case 'rate_limit_seconds':
      return jsonReply(429, limited, retryAfter);
    case 'rate_limit_date':
      return jsonReply(429, limited, { 'Retry-After': httpDate(nowMs + seconds * 1000) });
    case 'unavailable':
      return jsonReply(503, unavailable);
    case 'unavailable_after':
      return jsonReply(503, unavailable, retryAfter);
    case 'server_error':
      return jsonReply([500, 502, 504][pick % 3] ?? 500, errorBody('InternalError', 'Something went wrong'));
    case 'html_ok':
      return { status: 200, text: '<!doctype html><title>Sign in</title>', headers: html };
    case 'html_error':
      return { status: 502, text: '<!doctype html><title>502 Bad Gateway</title>', headers: html };
    case 'redirect':
      return { status: 302, text: '', headers: { Location: plan.redirectTo ?? `${url}/elsewhere` } };
    default:
      return null;
  }
}

/** HTTP dates have whole seconds; rounded up, so that it is never too early. */
function httpDate(epochMs: number): string {
  return new Date(Math.ceil(epochMs / 1000) * 1000).toUTCString();
}

/** Promises the whole body, sends half of it and drops the connection. */
function cutBody(res: ServerResponse, reply: Reply): string {
  const bytes = Buffer.from(reply.text);
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': bytes.length + 1 });
  res.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => res.socket?.destroy());
  return String(reply.status);
}

/** Sends the whole body in twenty pieces over the time. */
function dribble(res: ServerResponse, reply: Reply, slowMs: number): string {
  const bytes = Buffer.from(reply.text);
  const size = Math.ceil(bytes.length / 20);
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': bytes.length });
  const send = (from: number) => {
    if (from >= bytes.length) return void res.end();
    res.write(bytes.subarray(from, from + size));
    later(res, slowMs / 20, () => send(from + size));
  };
  send(0);
  return String(reply.status);
}

/** A JSON text far larger than any real one, small on the wire when the client takes gzip. */
function sendHuge(res: ServerResponse, reply: Reply, hugeBytes: number, gzip: boolean): string {
  const encoding = gzip ? { 'Content-Encoding': 'gzip' } : {};
  res.writeHead(reply.status, { ...reply.headers, ...encoding });
  const body = Readable.from(hugeText(hugeBytes));
  // The client is expected to give up in the middle.
  const sent = gzip ? pipeline(body, createGzip({ level: 1 }), res) : pipeline(body, res);
  sent.catch(() => res.destroy());
  return String(reply.status);
}

function* hugeText(bytes: number): Generator<Buffer> {
  const block = Buffer.alloc(2 ** 20, ' ');
  yield Buffer.from('{"counts":[]');
  for (let sent = 0; sent < bytes; sent += block.length) yield block;
  yield Buffer.from('}');
}

/** Runs later unless the connection is gone by then. */
export function later(res: ServerResponse, ms: number, run: () => void): void {
  const cancel = () => clearTimeout(timer);
  const timer = setTimeout(() => {
    res.off('close', cancel);
    run();
  }, ms);
  res.once('close', cancel);
}
