import { setTimeout as sleepFor } from 'node:timers/promises';
import type { LosantErrorKind } from '../errors.ts';
import {
  type Answer,
  type AttemptResult,
  KEPT_BODY_BYTES,
  type Received,
  type ReplyOptions,
  readReply,
} from './attempt.ts';
import { type Asked, errorWithoutToken, losantError, refuseEcho } from './failure.ts';
import { type Gate, PausedTooLongError } from './gate.ts';
import { createHttp, type Http, QUERY_FOR_ALL } from './http.ts';
import { planRetry } from './retry.ts';

export interface LosantClientOptions {
  /** E.g. `https://api.losant.com`; may have a path. */
  readonly apiUrl: string;
  readonly token: string;
  /** White-label installs: sent as the `losantdomain` header. */
  readonly domain?: string | undefined;
  readonly gate: Gate;
  /** Bound on one attempt, the body included. */
  readonly timeoutMs: number;
  /** Attempts per request; waits that the API asked for are not counted. */
  readonly attempts: number;
  /** Bound on one body after decompression; a year of all counters is below 1 MiB. */
  readonly maxBodyBytes?: number | undefined;
  /** `losant-usage-export/VERSION`. */
  readonly userAgent?: string | undefined;
  readonly random: () => number;
  readonly now: () => number;
  /** Waits `ms`, or rejects as soon as the signal aborts. */
  readonly sleep?: ((ms: number, signal: AbortSignal) => Promise<unknown>) | undefined;
  /** Told the API's clock minus `now`, in ms, for every answer that has a Date header (whole seconds). */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
  /** Called once per attempt that was sent. */
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

export interface AttemptReport {
  readonly action: string;
  /** HTTP status, or null if there was no answer. */
  readonly status: number | null;
  /** From sending to the end of the body. */
  readonly durationMs: number;
  /** Wait for a free slot, the rate and pauses. */
  readonly gateWaitMs: number;
  readonly outcome: 'ok' | 'aborted' | LosantErrorKind;
  /** Why another attempt follows; null if none does. */
  readonly retryReason: LosantErrorKind | null;
}

export interface GetRequest extends Asked {
  /** Below the API URL, without a leading slash; its parts already encoded. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Instead of the client's: of a question that can wait for a later run. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/** Reads from one Losant API with one token. It can send nothing but GET. */
export interface LosantClient {
  /**
   * The JSON answer, retried as needed. Throws a `LosantError` that never holds
   * the token, or the signal's reason once it has aborted.
   */
  get(request: GetRequest): Promise<Answer>;
}

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** What the requests of one client share. */
interface Shared {
  readonly options: LosantClientOptions;
  readonly http: Http;
  readonly judged: ReplyOptions;
}

export function createLosantClient(options: LosantClientOptions): LosantClient {
  const { maxBodyBytes = MAX_BODY_BYTES, gate } = options;
  const bounds = { ofAnswer: maxBodyBytes, ofError: KEPT_BODY_BYTES };
  const http = createHttp({ ...options, bounds, connections: gate.concurrency });
  const { timeoutMs, onClock } = options;
  const judged = { timeoutMs, maxBodyBytes, onClock, readDate: createDateReader() };
  const shared = { options, http, judged };
  return { get: (request) => getWithRetries(shared, request) };
}

/** Reads Date headers, which change once a second and come with every answer. */
function createDateReader(): (header: string) => number | null {
  let newest = { header: '', dateMs: null as number | null };
  return (header) => {
    if (header !== newest.header) {
      const dateMs = Date.parse(header);
      newest = { header, dateMs: Number.isNaN(dateMs) ? null : dateMs };
    }
    return newest.dateMs;
  };
}

async function getWithRetries(shared: Shared, request: GetRequest): Promise<Answer> {
  const { options } = shared;
  const { gate, random, sleep = abortableSleep } = options;
  const attempts = request.attempts ?? options.attempts;
  let attempt = 1;
  let sent = 0;
  let waits = 0;
  let waitedMs = 0;
  for (;;) {
    const { result: received, report } = await attemptThroughGate(shared, request);
    const result = refuseEcho(options.token, received);
    sent += 1;
    if (result.ok) {
      options.onAttempt?.({ ...report, status: 200, outcome: 'ok', retryReason: null });
      return result.answer;
    }
    const { failure } = result;
    const { kind, status } = failure;
    const plan = planRetry({ attempt, attempts, failure, waits, waitedMs, random: random() });
    options.onAttempt?.({ ...report, status, outcome: kind, retryReason: plan.retry ? kind : null });
    if (plan.pauseAllMs > 0) gate.pauseFor(plan.pauseAllMs);
    if (!plan.retry) {
      const detail = failure.detail + (sent > 1 ? ` (after ${sent} attempts)` : '');
      throw errorWithoutToken(options.token, request, { ...failure, detail });
    }
    if (plan.spendsAttempt) attempt += 1;
    if (plan.pauseAllMs > 0) {
      waits += 1;
      waitedMs += plan.pauseAllMs;
    }
    if (plan.delayMs > 0) await sleep(plan.delayMs, request.signal);
  }
}

interface SentAttempt {
  readonly result: AttemptResult;
  readonly report: Pick<AttemptReport, 'action' | 'durationMs' | 'gateWaitMs'>;
}

async function attemptThroughGate(shared: Shared, request: GetRequest): Promise<SentAttempt> {
  const { options, judged, http } = shared;
  const { gate, now } = options;
  const { action, signal } = request;
  const path = pathWithQuery(request);
  const send = async (gateWaitMs: number): Promise<Received & Pick<AttemptReport, 'gateWaitMs'>> => {
    const sentAtMs = now();
    try {
      const reply = await http.get(path, signal);
      return { reply, sentAtMs, receivedAtMs: now(), gateWaitMs };
    } catch (error) {
      const report = { action, gateWaitMs, durationMs: now() - sentAtMs };
      options.onAttempt?.({ ...report, status: null, outcome: 'aborted', retryReason: null });
      throw error;
    }
  };
  try {
    const received = await gate.run(send, signal);
    await allArrived();
    const { gateWaitMs, sentAtMs, receivedAtMs } = received;
    const report = { action, gateWaitMs, durationMs: receivedAtMs - sentAtMs };
    return { result: await readReply(received, judged), report };
  } catch (error) {
    if (!(error instanceof PausedTooLongError)) throw error;
    throw losantError(request, { kind: 'rate_limited', status: null, body: null, detail: error.message });
  }
}

let arrivals: Promise<void> | null = null;

/**
 * Resolves once everything that has come over the network until now is received: of answers that come
 * together, each frees its place in the gate for the next request before any of them is read.
 */
function allArrived(): Promise<void> {
  arrivals ??= new Promise((resolve) => {
    setImmediate(() => {
      arrivals = null;
      resolve();
    });
  });
  return arrivals;
}

/** Put together as text: through URLSearchParams it is a tenth of the CPU time of a request. */
function pathWithQuery({ path, query }: GetRequest): string {
  let text = `${path}?`;
  for (const name in query) text += `${name}=${encodeURIComponent(query[name] ?? '')}&`;
  return text + QUERY_FOR_ALL;
}

async function abortableSleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
