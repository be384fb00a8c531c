import { describe, expect, it, vi } from 'vitest';
import type { AttemptReport } from '../../src/losant/client.ts';
import { Gate } from '../../src/losant/gate.ts';
import { clientFor, errorOf, sendJson, startServer } from './server.ts';

const ask = {
  action: 'instanceOrg.deviceCounts',
  path: 'instances/abc/orgs/def/deviceCounts',
  query: {},
  signal: new AbortController().signal,
};

/** A gate whose pauses are recorded and take no time. */
class SwiftGate extends Gate {
  readonly #pauses: number[];

  constructor(pauses: number[]) {
    super({ concurrency: 4, requestsPerSecond: 1000 });
    this.#pauses = pauses;
  }

  override pauseFor(ms: number): void {
    this.#pauses.push(ms);
  }
}

describe('rate limits', () => {
  it('pause every request of the token for as long as asked and spend no attempt', async () => {
    await using server = await startServer((_, response, number) => {
      if (number > 1) return sendJson(response, {});
      return sendJson(response, {}, { status: 429, headers: { 'retry-after': '1' } });
    });
    const gate = new Gate({ concurrency: 4, requestsPerSecond: 1000 });
    const pause = vi.spyOn(gate, 'pauseFor');
    const client = clientFor(server, { attempts: 1, gate });
    const first = client.get(ask);
    while (gate.pauseLeftMs === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const others = [client.get(ask), client.get(ask)];
    while (gate.waiting < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(server.received).toHaveLength(1);
    await Promise.all([first, ...others]);
    expect(server.received).toHaveLength(4);
    expect(pause.mock.calls).toEqual([[1_000]]);
  });

  it('with a date are measured by the API clock, not by ours', async () => {
    const pauses: number[] = [];
    await using server = await startServer((_, response, number) => {
      if (number > 1) return sendJson(response, {});
      const headers = {
        date: 'Tue, 24 Nov 2020 12:00:00 GMT',
        'retry-after': 'Tue, 24 Nov 2020 12:00:07 GMT',
      };
      return sendJson(response, {}, { status: 503, headers });
    });
    await clientFor(server, { attempts: 1, gate: new SwiftGate(pauses) }).get(ask);
    expect(pauses).toEqual([7_000]);
  });

  it('end with 15 minutes per request, whatever lies between; the pause is still due for the others', async () => {
    const pauses: number[] = [];
    await using server = await startServer((_, response, number) => {
      if (number === 3) return sendJson(response, {}, { status: 500 });
      return sendJson(response, {}, { status: 429, headers: { 'retry-after': '300' } });
    });
    const error = await errorOf(clientFor(server, { gate: new SwiftGate(pauses) }).get(ask));
    expect(error).toMatchObject({ kind: 'rate_limited', status: 429 });
    expect(error.message).toContain('(after 5 attempts)');
    expect(pauses).toEqual([300_000, 300_000, 300_000, 300_000]);
  });

  it('longer than 15 minutes end all requests of the token without sending more', async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, {}, { status: 429, headers: { 'retry-after': '3600' } }),
    );
    const client = clientFor(server);
    const sent = await errorOf(client.get(ask));
    const unsent = await errorOf(client.get(ask));
    expect(sent).toMatchObject({ kind: 'rate_limited', status: 429 });
    expect(unsent).toMatchObject({ kind: 'rate_limited', status: null });
    expect(unsent.message).toContain('paused for another');
    expect(server.received).toHaveLength(1);
  });
});

describe('an abort', () => {
  it('ends a request under way at once with the reason', async () => {
    await using server = await startServer(() => undefined);
    const stop = new AbortController();
    const reports: AttemptReport[] = [];
    const client = clientFor(server, { timeoutMs: 60_000, onAttempt: (report) => reports.push(report) });
    const asked = client.get({ ...ask, signal: stop.signal });
    while (server.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort(new Error('stopped'));
    await expect(asked).rejects.toThrow('stopped');
    await new Promise((resolve) => setImmediate(resolve));
    expect(reports).toMatchObject([{ outcome: 'aborted', status: null, retryReason: null }]);
  });

  it('ends the wait before a retry', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}, { status: 500 }));
    const stop = new AbortController();
    const asked = clientFor(server, { backoffMs: undefined, random: () => 0.99, attempts: 9 }).get({
      ...ask,
      signal: stop.signal,
    });
    while (server.received.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort(new Error('stopped'));
    await expect(asked).rejects.toThrow('stopped');
  });

  it('before the request sends nothing', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(clientFor(server).get({ ...ask, signal })).rejects.toThrow('stopped');
    expect(server.received).toHaveLength(0);
  });
});
