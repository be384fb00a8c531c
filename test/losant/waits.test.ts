import { describe, expect, it } from 'vitest';
import type { AttemptReport } from '../../src/losant/client.ts';
import { Gate } from '../../src/losant/gate.ts';
import { clientFor, errorOf, sendJson, startServer } from './server.ts';

const ask = {
  action: 'instanceOrg.deviceCounts',
  path: 'instances/abc/orgs/def/deviceCounts',
  query: {},
  signal: new AbortController().signal,
};

describe('rate limits', () => {
  it('pause every request of the token for as long as asked and spend no attempt', async () => {
    const times: number[] = [];
    await using server = await startServer((_, response, number) => {
      times.push(Date.now());
      if (number > 1) return sendJson(response, {});
      return sendJson(response, {}, { status: 429, headers: { 'retry-after': '1' } });
    });
    const gate = new Gate({ concurrency: 4, requestsPerSecond: 1000 });
    const client = clientFor(server, { attempts: 1, gate });
    const first = client.get(ask);
    while (gate.pauseLeftMs === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([first, client.get(ask), client.get(ask)]);
    expect(times).toHaveLength(4);
    expect((times[1] as number) - (times[0] as number)).toBeGreaterThanOrEqual(950);
  });

  it('with a date are measured by the API clock, not by ours', async () => {
    await using server = await startServer((_, response, number) => {
      if (number > 1) return sendJson(response, {});
      const headers = {
        date: 'Tue, 24 Nov 2020 12:00:00 GMT',
        'retry-after': 'Tue, 24 Nov 2020 12:00:01 GMT',
      };
      return sendJson(response, {}, { status: 503, headers });
    });
    const startedAt = Date.now();
    await clientFor(server, { attempts: 1 }).get(ask);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(950);
  });

  it('end with 15 minutes per request, whatever lies between; the pause is still due for the others', async () => {
    const pauses: number[] = [];
    await using server = await startServer((_, response, number) => {
      if (number === 3) return sendJson(response, {}, { status: 500 });
      return sendJson(response, {}, { status: 429, headers: { 'retry-after': '300' } });
    });
    /** A gate whose pauses take no time. */
    class SwiftGate extends Gate {
      override pauseFor(ms: number): void {
        pauses.push(ms);
      }
    }
    const gate = new SwiftGate({ concurrency: 4, requestsPerSecond: 1000 });
    const error = await errorOf(clientFor(server, { gate }).get(ask));
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
