import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { jsonOf, type Refusal, runProgram, startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

it('names its address, instance and token in the first line of --json, once it listens', async () => {
  const running = startProgram(['simulator', '--json', '--orgs', '3', '--token', 'mine'], {});
  await until('it listens', () => running.stdout().includes('\n'));
  const { url, instanceId, token, ...rest } = JSON.parse(running.stdout()) as Record<string, string>;
  expect({ token, rest }).toEqual({ token: 'mine', rest: {} });
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}/instances/${instanceId}/orgs`, { headers });
  expect(await answer.json()).toMatchObject({ totalCount: 3 });
  running.kill('SIGTERM');
  expect((await running.ended).code).toBe(0);
});

it('refuses a port that is in use', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const ended = await runProgram(['simulator', '--port', `${port}`, '--json'], {});
    expect(ended.code).toBe(2);
    expect(ended.stderr).not.toMatch(/defect|\n {4}at /);
    expect(jsonOf<Refusal>(ended).error).toEqual({
      code: 'settings',
      message: `--port ${port}: another process listens there`,
      hint: 'use another port, or leave --port out to get a free one',
    });
  } finally {
    server.close();
  }
});
